/* SPDX-License-Identifier: MIT */
/* logs syslog: what hosts and devices send by syslog becomes entries of the stream. Over UDP a message
 * is a datagram (RFC 5426), over TCP a count or a line's end says where it ends (RFC 6587).
 *
 *     connection --messages--> batch --stream_append--> stored: read on
 *                                ^------- in a second ------ not stored: not read meanwhile
 *
 * Syslog knows no answer. So a TCP sender is not read while the stream does not take its messages: it
 * waits, as long as it can. A datagram that the stream does not take is lost, and counted. */
#ifndef MUSTER_NODE_SERVICE_LOGS_SYSLOG_H
#define MUSTER_NODE_SERVICE_LOGS_SYSLOG_H

#include "node/core/metrics.h"
#include "node/net/limit.h"
#include "node/net/net.h"
#include "node/service/logs/entry.h"
#include "store/store.h"

struct logs_syslog;

struct logs_syslog_options {
    struct net *net; /* all pointers borrowed */
    struct store *store;
    struct metrics *metrics;
    struct limit_table *rate; /* of logs-rate */
    const char *listen;       /* [tcp:|udp:]address:port, with commas; empty: nowhere */
    unsigned lanes;
    size_t entry_limit; /* bytes */
    struct logs_keys keys;
};

/* Is `listen` a list of addresses? 0, or -1 with a message that names the setting in `error`. */
int logs_syslog_check(const char *listen, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* Can this process alone receive there, at fixed ports? 0, or -1 with a message in `error`. */
int logs_syslog_probe(const char *listen, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* New. */
struct logs_syslog *logs_syslog_new(const struct logs_syslog_options *options);

/* Opens the sockets. 0, or -1 with a message that names the address in `error`. */
int logs_syslog_listen(struct logs_syslog *syslog, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* Takes no new connections; datagrams are taken until the end. */
void logs_syslog_retire(struct logs_syslog *syslog);

/* Closes the sockets; before net_free. */
void logs_syslog_stop(struct logs_syslog *syslog);

/* Frees; net_free came first. */
void logs_syslog_free(struct logs_syslog **syslog);

#endif
