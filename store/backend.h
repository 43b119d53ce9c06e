/* SPDX-License-Identifier: MIT */
/* backend: the floor under the words of the store. The words (bus.c, roster*.c) keep what this
 * process wants; a backend carries it to where nodes meet: a hub in this process (memory.c) or
 * Redis servers (redis.c).
 *
 *     bus.h  roster.h  lookup.h  history.h    what services call
 *     bus.c  roster*.c lookup.c  history*.c   topics, keys, claims, views: one code for all backends
 *     struct backend_ops         this file
 *     memory.c | redis*.c
 *
 * A backend reports through store_on_*, always from the event loop between store_enter and
 * store_leave, never from inside one of its ops. */
#ifndef MUSTER_STORE_BACKEND_H
#define MUSTER_STORE_BACKEND_H

#include "store/history/call.h"
#include "store/inspect.h"
#include "store/partition.h"
#include "store/roster/call.h"
#include "store/shard_set.h"
#include "store/stream_types.h"
#include "store/wire.h"

struct backend;
struct stream_call;
struct stream_query;
struct stream_marks;
struct lookup_call;
struct lookup_visit;
struct store;

enum backend_answer {
    BACKEND_OK,
    BACKEND_REFUSED, /* the server answered with an error; trying at once again would not help */
    BACKEND_LOST,    /* the link went down before the answer: may be done, or not */
};

/* `reply` is borrowed until return and empty but for BACKEND_OK. Called exactly once. */
typedef void backend_answer_fn(void *arg, enum backend_answer answer, struct span reply);

struct backend_ops {
    /* Starts or ends hearing channels; each is answered by bus_on_channel, or the link falls. */
    void (*subscribe)(struct backend *backend, unsigned shard, const struct span *channels,
                      size_t count);
    void (*unsubscribe)(struct backend *backend, unsigned shard, const struct span *channels,
                        size_t count);
    /* Publishes `head` followed by `payload`. 0, or -1 when it surely goes nowhere. `quiet`: the server
     * need not say what it thinks of it. */
    int (*publish)(struct backend *backend, unsigned shard, struct span channel, struct span head,
                   struct span payload, bool quiet);
    /* Has store_on_proof called when all that the server has said so far is heard; soon, or else with
     * the next proof that is due. */
    void (*prove)(struct backend *backend, unsigned shard);
    /* Both: 0, or -1 when it was not sent (and `fn` is not called). */
    int (*touch)(struct backend *backend, unsigned shard, const struct roster_touch *touch,
                 backend_answer_fn *fn, void *arg);
    int (*beat)(struct backend *backend, unsigned shard, const struct roster_beat *beat,
                backend_answer_fn *fn, void *arg);
    /* The name of the history that the server is in (docs/store.md#words), "-" where it is not
     * known. Borrowed until the next turn. */
    struct span (*timeline)(struct backend *backend, unsigned shard);
    /* The stream's calls (store/stream_call.h). As touch. */
    int (*stream_append)(struct backend *backend, unsigned shard, const struct stream_call *call,
                         backend_answer_fn *fn, void *arg);
    int (*stream_read)(struct backend *backend, unsigned shard, const struct stream_query *query,
                       stream_read_fn *fn, void *arg);
    int (*stream_state)(struct backend *backend, unsigned shard, const struct stream_marks *marks,
                        backend_answer_fn *fn, void *arg);
    /* Of a server that has all parts of the stream: which are there? A digit for each. As touch. */
    int (*stream_parts)(struct backend *backend, unsigned shard, backend_answer_fn *fn, void *arg);
    /* Finishes `call` (store/lookup_call.h) later. 0, or -1 when it was not sent. */
    int (*lookup)(struct backend *backend, unsigned shard, const struct lookup_visit *visit,
                  struct lookup_call *call);
    /* As touch. */
    int (*history)(struct backend *backend, unsigned shard, const struct history_call *call,
                   backend_answer_fn *fn, void *arg);
    /* This store ends soon: the servers may forget it. */
    void (*leave)(struct backend *backend);
    /* BACKEND_OK when store->replicas of the server have all that it answered before this call, and
     * BACKEND_REFUSED when they did not in time. As touch; not asked where that number is 0. */
    int (*replicated)(struct backend *backend, unsigned shard, backend_answer_fn *fn, void *arg);
    /* What people know the server by, without secrets; borrowed. */
    const char *(*name)(struct backend *backend, unsigned shard);
    /* "host port" that its last link led to, or NULL; borrowed until the next turn. NULL: no links. */
    const char *(*at)(struct backend *backend, unsigned shard);
    bool (*ready)(struct backend *backend, unsigned shard);
    /* As store_inspect, one server: 0, or -1 when it cannot be asked. NULL: there are none. */
    int (*inspect)(struct backend *backend, unsigned shard, store_server_fn *fn, void *arg);
    /* As store_print_map; NULL: there is none. */
    void (*print_map)(struct backend *backend, struct buf *out);
    /* As store_login_as; NULL: there are no logins. */
    int (*login_as)(struct backend *backend, const char *url, char *error, size_t error_size);
    /* Bytes of commands that the system has not taken yet. */
    size_t (*queued)(struct backend *backend, unsigned shard);
    /* Frees it; answers still open are dropped or given as BACKEND_LOST. */
    void (*free)(struct backend *backend);
};

struct backend {
    const struct backend_ops *ops;
    struct store *store; /* borrowed: it owns the backend */
    /* A shard is served as a whole, by one server at a time: a server of a list, or a partition of a
     * cluster. */
    unsigned shards;
    unsigned parts;                   /* in which its stream may lie (store/stream_part.h) */
    uint8_t owner[PARTITIONS];        /* which shard has a partition */
    uint8_t lease_at[SHARD_SET_MOST]; /* the shard whose table of leases counts for a shard */
    bool pulses;                      /* calls store_on_pulse */
    bool tagged; /* a shard is a partition: what is kept for it has its tag, too */
};

/* Around everything that comes from the event loop: a store closed inside goes when the outermost
 * one leaves. */
void store_enter(struct store *store);
void store_leave(struct store *store);

/* These shards can be used from now on, or no more (also when a try to reach them failed). `text` is
 * for a person; NULL: it was told before, or is nothing that one should hear of. */
void store_on_link(struct store *store, const struct shard_set *which, bool up, const char *text);

/* All that the server of these shards had said by `asked_us` (monotonic) was heard before this. */
void store_on_proof(struct store *store, const struct shard_set *which, uint64_t asked_us);

/* A link that leads to this table of leases is up and says something just now, as it does once a beat
 * (roster_beat_us): what is due there soon goes with it. */
void store_on_pulse(struct store *store, unsigned shard);

/* The link that comes up next is to another server than the one before: what that one did last may
 * be unknown here. */
void store_on_moved(struct store *store, unsigned shard);

/* Other servers own some partitions than before (backend->owner), never one that had it already: what lives there
 * moves on, as after a link that fell and came up, each when it is next looked at, or swept (store/sweep.h). */
void store_on_owner(struct store *store);

/* A server refused a command, for a reason that a person should hear of. */
void store_on_trouble(struct store *store, const char *text);

/* Counts what could not be read; told to a person, once in ten seconds at most. */
void store_on_unread(struct store *store, enum wire_unread kind, const char *text);

/* `channel` is heard from now on, or no more. False when nobody had asked: a server gave it up by itself. */
bool bus_on_channel(struct store *store, struct span channel, bool on);

/* False when the channel is heard at another shard by now: what comes over this one's link says nothing. */
bool bus_is_heard_at(const struct store *store, struct span channel, unsigned shard);

void bus_on_message(struct store *store, struct span channel, struct span payload);

#endif
