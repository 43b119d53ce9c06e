/* SPDX-License-Identifier: MIT */
/* store: what outlives a node. One handle per process gives the words of the house:
 *
 *     roster  (store/roster/roster.h)    leased membership with change notice
 *     bus     (store/bus.h)       publish/subscribe by topic
 *     lookup  (store/lookup.h)    key to value with a lifetime
 *     history (store/history/history.h)   capped list that is heard
 *     stream  (store/stream.h)    durable append in lanes, tail by position
 *
 * Every call names one key or topic, and that alone decides on which server it lives. Two backends
 * serve the same headers and pass the same contract tests: memory (this process) and Redis.
 *
 * All callbacks come from the event loop, never from inside a call of these headers. The store
 * writes no log lines: it reports through `struct store_observer`. */
#ifndef MUSTER_STORE_STORE_H
#define MUSTER_STORE_STORE_H

#include "store/base/span.h"
#include "store/wire.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

struct buf;
struct memory_hub;
struct store;

/* What the store reports; `arg` is given back. Each may be NULL. */
struct store_observer {
    /* A server was reached, lost, or could not be reached: `up` and a line of text for a person
     * (borrowed). Called for every change of a link and for every failed try. */
    void (*link)(void *arg, bool up, const char *text);
    /* A server that is up refuses a command (out of memory, not permitted): a line for a person. */
    void (*trouble)(void *arg, const char *text);
    /* A self-sent message came back over the bus after this many seconds. */
    void (*bus_lag)(void *arg, double seconds);
    /* A command was answered after this many seconds. */
    void (*command_time)(void *arg, double seconds);
    void *arg;
};

/* For rediss:// servers: paths of PEM files, read again for each connection. Each may be NULL or
 * empty. */
struct store_tls {
    const char *ca;          /* authorities to believe; none: those of the system */
    const char *cert, *key;  /* of this client; no key: it stands in the same file */
    const char *server_name; /* that certificates must have; none: the host connected to */
};

struct store_options {
    struct event_base *base; /* borrowed for the store's life */
    const char *url;         /* "memory:", or see store/redis/url.h */
    struct store_tls tls;
    const char *prefix; /* first part of every key and topic */
    const char *node;   /* unique name of this process in the fleet, at most 64 bytes, no spaces */
    uint32_t lease_ms;  /* roster lease: within this time of a node's death its members are gone */
    struct wire_range wire; /* that it speaks; 0: what this program does (tests have others) */
    bool visitor;           /* only looks: it does not stand on the roll of the servers */
    unsigned replicas;      /* an append counts when so many of the server's have it */
    struct memory_hub *hub; /* memory only: borrowed, shared between stores; NULL: its own */
    struct store_observer observer;
};

enum { STORE_REPLICAS_MS = 2000 }; /* how long an append waits for replicas */

/* Counts since the start; they only grow. */
struct store_stats {
    uint64_t commands;    /* sent to servers */
    uint64_t errors;      /* commands answered with an error, or lost with their link */
    uint64_t reconnects;  /* links built again after a loss */
    uint64_t moves;       /* partitions that another server of a cluster took over */
    uint64_t renewals;    /* beats: this node's lease on a server renewed */
    uint64_t published;   /* bus messages handed to servers */
    uint64_t received;    /* bus messages that came in for local subscribers */
    uint64_t unpublished; /* bus messages refused: link down or its queue full */
    uint64_t parcels;   /* messages that went by ways, each with all that one turn had for a node */
    uint64_t repeats;   /* bus messages told again to a node that was learned of late */
    uint64_t gaps;      /* parcels of other nodes that were missed */
    uint64_t late;      /* bus messages dropped: of a link that their node had given up */
    uint64_t refetched; /* history entries fetched because they had been missed */
    uint64_t brought;   /* calls of the stream sent again to a server that had lost them */
    uint64_t lost;      /* entries of the stream that a server took and lost, and no node kept */
    uint64_t replica_waits;    /* times replicas were waited for, each for all appends before it */
    uint64_t replica_timeouts; /* of these, without enough replicas */
    uint64_t resnapshots;      /* rosters read again because a change may have been missed */
    uint64_t swept; /* steps of the walks over what something happened to (store/sweep.h) */
    uint64_t unread[WIRE_KINDS]; /* in a form that this node, or the fleet, does not read */
};

/* Checks the URL without connecting. Returns 0, or -1 with a message in `error`. */
int store_check_url(const char *url, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* Checks what the operator chose without connecting. 0, or -1 with a message, and in `about` what is
 * wrong: "url", "prefix", "replicas", "ca", "cert", "key" or "server-name". */
int store_check(const struct store_options *options, const char **about, char *error,
                size_t error_size) __attribute__((warn_unused_result));

/* New store; connecting goes on in the background and is tried for ever. Copies the strings. NULL
 * with a message in `error` when an option is wrong. */
struct store *store_open(const struct store_options *options, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* Takes the users and passwords that `url` has, for connections made from now on. 0, or -1 with a
 * message, and nothing is taken, when it names other servers: these need another store. */
int store_login_as(struct store *store, const char *url, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* True while no server refuses what the roster asks, and every server has proved, within the last
 * few seconds, that a message published to it comes back (memory: always). */
bool store_ready(const struct store *store);

/* True while one server does, and none refuses this node: what lives there can be served. */
bool store_works(const struct store *store);

/* How many partitions (store/partition.h) cannot be served now. */
unsigned store_partitions_away(const struct store *store);

/* Appends which servers are not healthy and why, "away: b:6379 (128 of 256 partitions): ...". */
void store_print_away(const struct store *store, struct buf *out);

/* store_ready of the one server that the key or topic of that name lives on: what is asked of it is
 * likely to be answered, whatever is the matter with the others. */
bool store_reaches(const struct store *store, struct span name);

/* Why a server does not let this node in, as a line for a person, or NULL: the fleet speaks another
 * form of the wire. Borrowed until the next turn. */
const char *store_refusal(const struct store *store);

/* Appends what the fleet speaks and what this store does: "the fleet speaks 1, this node 1"; nothing
 * where no other node is known. */
void store_print_wire(const struct store *store, struct buf *out);

const struct store_stats *store_stats(const struct store *store);

/* Releases every claim and calls `done` when the servers have answered, or could not within a
 * second. No new claims after this. */
void store_release_all(struct store *store, void (*done)(void *arg), void *arg);

/* Drops links and frees; NULL and pointer to NULL are fine. Claims not released run out with their
 * lease, as after a kill. Watches and subscriptions still open are freed too, without events: their
 * holders must not touch them any more. */
void store_close(struct store **store);

#endif
