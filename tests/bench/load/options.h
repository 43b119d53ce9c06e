/* SPDX-License-Identifier: MIT */
/* options: what the runner asks for on the command line, as --name value. */
#ifndef MUSTER_BENCH_LOAD_OPTIONS_H
#define MUSTER_BENCH_LOAD_OPTIONS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { NODES_MAX = 16 };

struct options {
    struct sockaddr_in nodes[NODES_MAX]; /* --node host:port, given once for each */
    uint32_t node_count;
    struct sockaddr_in redis; /* --redis host:port */
    bool has_redis;
    struct sockaddr_in device; /* --device host:port, where a device connects */
    uint32_t listen;           /* --listen port, where a proxy connects */
    bool floor;                /* --floor 1: the server knows no SetSession */
    bool deflate;              /* --deflate 1: receivers offer permessage-deflate */
    const char *path;
    const char *session; /* first part of every session id */
    uint32_t connections, sessions, members, size, window, period_ms, rate;
    double warm_up, seconds;
    pid_t pid;           /* --pid: the process whose CPU time is measured */
    pid_t second_pid;    /* --second-pid: and another */
    const char *dialect; /* --dialect: how the server is spoken to (dialect.h) */
    bool all_join;       /* --all-join 1: the senders join as others do */
    const char *token;   /* --token: what clients of the chat log in with */
    uint32_t limit;      /* seconds until the program gives up */
};

/* Reads them; ends the program with a message when one is wrong. */
void options_read(struct options *options, int argc, char **argv);

#endif
