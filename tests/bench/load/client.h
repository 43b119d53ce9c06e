/* SPDX-License-Identifier: MIT */
/* client: a WebSocket connection of the load generator. Whatever a server must not do (close,
 * refuse, break the framing) ends the program, so the modes only see frames that are right; a mode may
 * let those go that are closed. */
#ifndef MUSTER_BENCH_LOAD_CLIENT_H
#define MUSTER_BENCH_LOAD_CLIENT_H

#include "store/base/buf.h"
#include "tests/bench/load/loop.h"

#include <netinet/in.h>

struct client;

struct frame {
    uint8_t opcode;
    bool deflated;       /* the payload is as on the wire, still deflated */
    struct span payload; /* borrowed until return */
};

/* What a set of clients has in common. */
struct client_kind {
    const char *path;
    bool deflate;                                                    /* offer permessage-deflate */
    void (*frame)(struct client *client, const struct frame *frame); /* text or binary */
    /* Not NULL: there is no WebSocket, and this takes what comes; returns the bytes it took. */
    size_t (*bytes)(struct client *client, struct span in);
    void (*open)(struct client *client); /* it may send from now on; NULL: nobody asks */
    void (*gone)(struct client *client); /* the server closed it; NULL: that ends the program */
    void *arg;                           /* for the mode */
};

struct client {
    struct handler handler;
    struct loop *loop;
    const struct client_kind *kind;
    struct sockaddr_in node;
    struct in_addr source;
    enum { CLIENT_NEW, CLIENT_CONNECTING, CLIENT_UPGRADING, CLIENT_OPEN } state;
    uint32_t index;     /* among its like */
    uint32_t received;  /* for the mode: pushes so far */
    bool joined;        /* for the mode: SessionState was seen */
    struct buf in, out; /* what is half-read, what the kernel did not take */
};

enum { CLIENTS_PER_ADDRESS = 1000 }; /* so many ports of one are free anywhere */

/* The address of client `index`, from 127.0.0.2 up. */
struct in_addr client_source(uint32_t index);

/* Fills in a client that client_open_all is to open. `kind` is borrowed for good. */
void client_init(struct client *client, const struct client_kind *kind, struct sockaddr_in node,
                 struct in_addr source, uint32_t index);

/* Opens them, some at a time, and returns when all are upgraded. */
void client_open_all(struct loop *loop, struct client *clients, size_t count);

/* Sends one masked text frame. */
void client_send(struct client *client, struct span text);

/* Sends bytes as they are, for a kind without WebSocket. */
void client_send_bytes(struct client *client, struct span bytes);

/* New, `count` clients of one kind, numbered, on the nodes in turn; all are open. */
struct client *client_connect(struct loop *loop, const struct client_kind *kind,
                              const struct sockaddr_in *nodes, size_t node_count, uint32_t count);

/* Closes with a reset, so that no port stays taken. */
void client_close_all(struct client *clients, size_t count);

#endif
