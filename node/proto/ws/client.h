/* SPDX-License-Identifier: MIT */
/* ws client: a WebSocket to another server (ws:// or wss://), connected again for as long as it
 * exists: after 2 s, then with back-off. wslay's client side over a bufferevent; for a process with
 * one or two of them, not for thousands. */
#ifndef MUSTER_NODE_PROTO_WS_CLIENT_H
#define MUSTER_NODE_PROTO_WS_CLIENT_H

#include "store/base/span.h"

#include <event2/event.h>
#include <stdbool.h>

struct ws_client;

struct ws_client_events {
    void (*open)(void *arg);
    /* A whole text message; borrowed until return. */
    void (*message)(void *arg, struct span text);
    /* It ended, or could not begin; another try follows. */
    void (*down)(void *arg, const char *why);
    /* What is added to the URL's query for the next try, e.g. "a=1&b=2"; may be NULL or give NULL.
     */
    const char *(*query)(void *arg);
};

struct ws_client_options {
    struct event_base *base; /* borrowed */
    const char *url;         /* ws[s]://host[:port][/path][?query] */
    const char *ca;          /* PEM file of the authorities that wss:// believes; empty or NULL:
                                those of the system */
    const char *bearer;      /* token for Authorization; empty: none */
    size_t message_limit;    /* bytes */
    const struct ws_client_events *events;
    void *arg;
};

/* Is `url` one, and can the authorities in `ca` be used, if wss:// needs them? 0, or -1 with a
 * message. */
int ws_client_check(const char *url, const char *ca, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* New, or NULL with a message in `error` when the URL is none. Host names are looked up
 * without blocking; of several addresses the first is taken, IPv4 before IPv6. */
struct ws_client *ws_client_open(const struct ws_client_options *options, char *error,
                                 size_t error_size) __attribute__((warn_unused_result));

/* Stops and restarts reading. */
void ws_client_pause(struct ws_client *client, bool paused);

/* Ends it, without calls; not inside one of its own. NULL inside is fine. */
void ws_client_close(struct ws_client **client);

#endif
