/* SPDX-License-Identifier: MIT */
/* logs: POST /logs/add (and where Loki, OTLP and GELF send to), WS /logs/listen, GET /logs/stored,
 * /logs.html, and the node's own lines in the stream (docs/protocols.md#logs).
 *
 *     request --intake.c: coding, form, shape--> batch.c --> stream --> stored: answered
 *     syslog.c, own.c: other ways in ----------------^          '--one tail a node--> live.c: listeners
 *                                                    '--sink (store/sink)--> PostgreSQL --> stored.c
 *
 * An entry is accepted when the stream has it; when that is full, and a sink is to empty it, it is
 * refused with 503. A listener that reads slowly is told how many entries it was not shown. */
#ifndef MUSTER_NODE_SERVICE_LOGS_LOGS_H
#define MUSTER_NODE_SERVICE_LOGS_LOGS_H

#include "node/core/metrics.h"
#include "node/core/pool.h"
#include "node/net/net.h"
#include "node/proto/http/http.h"
#include "node/service/logs/entry.h"
#include "store/store.h"

struct logs;

struct logs_options {
    struct net *net;       /* all pointers borrowed */
    struct job_pool *pool; /* reads large bodies */
    struct store *store;
    struct metrics *metrics;
    const char *node;
    unsigned lanes;
    uint64_t bound;                       /* entries */
    bool refuse;                          /* at the bound, whether or not a sink was ever seen */
    size_t entry_limit;                   /* bytes */
    size_t body_limit;                    /* bytes of a request's body, decoded */
    struct logs_keys keys;                /* further names of room and user */
    size_t queue_limit;                   /* bytes */
    uint32_t rate;                        /* entries per second and address; 0: no limit */
    const char *syslog;                   /* where syslog is taken: syslog.h; empty: nowhere */
    const char *add_token, *listen_token; /* empty: none is needed */
    const char *postgres;                 /* where the stored ones are read; empty: they are not */
    struct http_server *admin; /* listeners there hear the nodes' own lines; NULL: no such */
    bool own_for_all;          /* all hear them, without a token, too */
};

/* New, with its routes put into `server`. */
struct logs *logs_new(struct http_server *server, const struct logs_options *options);

/* Opens the sockets for syslog. 0, or -1 with a message that names the address in `error`. */
int logs_listen(struct logs *logs, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* Takes no new connections of syslog. */
void logs_drain(struct logs *logs);

/* Closes the sockets for syslog; before net_free. */
void logs_stop(struct logs *logs);

/* Frees; net_free came first, http_server_free and store_close come later. */
void logs_free(struct logs **logs);

#endif
