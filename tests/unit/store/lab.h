/* SPDX-License-Identifier: MIT */
/* lab: the place the store's tests work in: a loop, servers, some stores that act as nodes, and
 * recorders for what their callbacks say. */
#ifndef MUSTER_TESTS_LAB_H
#define MUSTER_TESTS_LAB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "redis_server.h"
#include "store/base/buf.h"
#include "store/base/mem.h"
#include "store/bus.h"
#include "store/roster/roster.h"
#include "store/store.h"

enum {
    NODES_MOST = 4,
    LEASE_MS = 1000,
    PATIENCE_MS = 20000, /* no wait is meant to be that long */
};

struct lab {
    struct event_base *base;
    struct event *tick;
    struct memory_hub *hub;
    struct redis_server_process servers[6];
    struct redis_server_process sentinel; /* lab_pair: servers[0] is the master, [1] its replica */
    bool cluster;                         /* the servers are three masters and their replicas */
    unsigned replicas;                    /* that stores wait for */
    char certs[32]; /* folder made by tests/certificates.sh; empty: not needed yet */
    struct store_tls tls;
    int server_count; /* 0: memory */
    char url[256];
    char prefix[32];
    uint32_t lease_ms;
    struct store *nodes[NODES_MOST];
    int links_up[NODES_MOST], links_down[NODES_MOST];
    char last_text[256];
    char last_trouble[256];
    struct wire_range wire; /* of the nodes that are opened; 0: the program's */
    int bus_lags;
};

extern struct lab lab;

/* Group and test fixtures for cmocka. */
int lab_memory(void **state);
int lab_redis(void **state);
int lab_shards(void **state);
int lab_tls(void **state);
int lab_pair(void **state); /* and a sentinel */
int lab_cluster(void **state);
int lab_promoted_pair(void **state); /* the same after a planned fail-over */
int lab_end(void **state);
int lab_setup(void **state);
int lab_teardown(void **state);

/* For one test with a Redis of its own: both at once. */
int lab_redis_setup(void **state);
int lab_redis_teardown(void **state);

bool lab_is_redis(void);

/* Waits until the sentinel has made servers[1] the master; they change places then. */
void lab_promoted(void);

/* Channels of topics that somebody hears, at all servers. */
int lab_topics(void);

/* The master that has the slots of a name's partition, of lab_cluster. */
struct redis_server_process *lab_master_of(const char *name);

/* Path of a file among the certificates, which are made when first asked for. One of a few buffers,
 * borrowed. */
const char *lab_cert(const char *name);

/* The key or channel of that kind. One of a few buffers, borrowed. */
const char *lab_key(const char *kind, const char *name);

/* The same of a lane of the stream. */
const char *lab_lane(unsigned lane);

/* Opens lab.nodes[index] at `url` (NULL: the lab's) and waits for nothing. */
struct store *lab_node_at(int index, const char *url);
struct store *lab_node(int index);

/* Opens the first `count` nodes and waits until they are ready. */
void lab_nodes(int count);

/* One turn of the loop, a few milliseconds at most. */
void lab_turn(void);
void lab_run(unsigned ms);

uint64_t lab_ms(void);

/* Turns the loop until it holds, or fails the test. */
#define WAIT(condition)                                                                            \
    do {                                                                                           \
        uint64_t wait_until = lab_ms() + PATIENCE_MS;                                              \
        while (!(condition)) {                                                                     \
            if (lab_ms() > wait_until) {                                                           \
                fail_msg("waited in vain for: %s", #condition);                                    \
            }                                                                                      \
            lab_turn();                                                                            \
        }                                                                                          \
    } while (0)

/* Follows a key. `log` is "+name=value" and "-name=value" per event, "*" for CHANGED, "C" for
 * CURRENT and "S" for STALE, with spaces. */
struct watcher {
    struct roster_watch *watch;
    struct buf log;
    int sets, gones, changes, currents, stales;
    size_t least, most; /* members seen at any CHANGED since watcher_mark */
    void (*on_event)(struct watcher *watcher, enum roster_event event,
                     const struct roster_member *member);
    void *arg;
};

void watcher_start(struct watcher *watcher, struct store *store, const char *key);
void watcher_stop(struct watcher *watcher);
/* Forgets the log and the bounds; they begin at what is in the view. */
void watcher_mark(struct watcher *watcher);
const char *watcher_log(struct watcher *watcher);
bool watcher_has(const struct watcher *watcher, const char *member, const char *value);

/* Follows a topic. `log` is "R" READY, "G" GAP, "'payload'". */
struct listener {
    struct bus_sub *sub;
    struct buf log;
    int readies, gaps, messages;
    size_t bytes;
    void (*on_event)(struct listener *listener, enum bus_event event);
    void *arg;
};

void listener_start(struct listener *listener, struct store *store, const char *topic,
                    enum bus_echo echo);
void listener_attend(struct listener *listener, struct store *store, const char *topic);
void listener_stop(struct listener *listener);
const char *listener_log(struct listener *listener);

void claim(int node, const char *key, const char *member, const char *value);
void release(int node, const char *key, const char *member);
int publish(int node, const char *topic, const char *payload);

#endif
