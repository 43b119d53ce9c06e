/* SPDX-License-Identifier: MIT */
/* sync_session: one sync session as this node sees it: its members here, the counts of the whole
 * cluster, and the pushes that go around.
 *
 *     member joins -> absolute local count -> roster claim
 *                  -> the change comes back, in the cluster's order -> SessionState to the members here
 *     leader's push -> members here, and over the bus to the nodes that have others
 *
 * What clients say, and what they are told besides the state, is sync.c's. */
#ifndef MUSTER_NODE_SERVICE_SYNC_SESSION_H
#define MUSTER_NODE_SERVICE_SYNC_SESSION_H

#include "node/core/metrics.h"
#include "node/fanout/group.h"
#include "store/store.h"

#include <stdbool.h>

struct sync_session;

/* The part of a member that the session keeps; lives inside sync.c's object. */
struct sync_seat {
    struct receiver member;
    struct list unsettled;        /* in the session, until what it asked for last is done */
    struct sync_session *session; /* NULL: unbound */
    uint64_t asked;               /* in which of the session's rounds that was */
    bool leader;
};

struct sync_state {
    uint32_t players; /* members in the whole cluster */
    bool leader_connected;
};

struct sync_sessions_options {
    struct store *store;     /* borrowed */
    struct metrics *metrics; /* borrowed */
    const char *node;        /* this node's name, borrowed */
};

/* Makes an unbound one. */
void sync_seat_init(struct sync_seat *seat);

/* Knows the seat, which is bound, a state that counts it, or has it on its way? */
bool sync_seat_is_told(struct sync_seat *seat);

/* The seat's last join or change of role is done: told, or the store cannot say. Comes once, in one of the
 * next turns where many are done at once. It is sync.c's: the client around the seat is heard again. */
void sync_seat_settled(struct sync_seat *seat);

/* All sessions with a member on this node. */
struct sync_sessions *sync_sessions_new(const struct sync_sessions_options *options);

/* Frees; every seat must be unbound. */
void sync_sessions_free(struct sync_sessions **sessions);

/* Binds `seat`, which is unbound, to the session `id`. The state comes to it when the cluster
 * counts it. */
void sync_session_join(struct sync_sessions *sessions, struct span id, struct sync_seat *seat,
                       struct ws *ws, bool leader);

/* Changes the role, or just tells the state again when it is the same. */
void sync_session_set_role(struct sync_seat *seat, bool leader);

/* Queues the pushes that are on their way to the seat, if it is bound: before it is closed. */
void sync_session_give(struct sync_seat *seat);

/* Unbinds; nothing happens when it is unbound. */
void sync_session_leave(struct sync_seat *seat);

struct span sync_session_id(const struct sync_session *session);

/* Is the server healthy on which the session lives? */
bool sync_session_is_reached(const struct sync_session *session);

enum { SYNC_BUSIEST_MOST = 32 };

/* A session of which this node is the first by name. */
struct sync_busy {
    const struct sync_session *session; /* borrowed until the next event */
    struct sync_state state;
    uint32_t nodes; /* with members of it */
};

/* The sessions with the most members in the whole cluster among those of which this node is the
 * first by name, so that of all nodes exactly one tells of a session: at most `most` and
 * SYNC_BUSIEST_MOST of them, the busiest first. *count: how many there are. Returns how many were
 * written to `out`. */
size_t sync_sessions_busiest(struct sync_sessions *sessions, struct sync_busy *out, size_t most,
                             size_t *count);

/* Relays `message` to every member of the seat's session that is no leader, everywhere. 0, or -1
 * when it reached only the members on this node though there are others. */
int sync_session_push(struct sync_seat *seat, struct span message);

#endif
