/* SPDX-License-Identifier: MIT */
/* What live.c (listeners), tail.c (the tail) and backlog.c (what came before) share; no other file
 * includes it. */
#ifndef MUSTER_NODE_SERVICE_LOGS_LIVE_IMPL_H
#define MUSTER_NODE_SERVICE_LOGS_LIVE_IMPL_H

#include "node/fanout/group.h"
#include "node/service/logs/live.h"
#include "store/base/map.h"
#include "store/stream_follow.h"

#include <event2/event.h>

/* Entries that go out as one message. */
struct logs_run {
    size_t count;
    uint64_t last; /* sequence number of the last one */
    bool own;      /* all are lines of nodes: for listeners that may hear them */
};

struct live_room {
    struct map_node node;
    struct list listeners;
    char name[];
};

struct log_listener {
    struct list entry;      /* in its room, or in `everywhere`, or in `waiting` */
    struct receiver member; /* only its ws counts */
    struct logs_live *live;
    struct live_room *room;       /* NULL: all rooms */
    struct http_request *request; /* not answered yet; NULL since */
    struct backlog *backlog;      /* in line, or being gathered; NULL else */
    struct list sharing;          /* with others that wait for the same one */
    size_t wants;                 /* entries from before */
    bool beats;
    bool hears_own;        /* lines of the nodes, too */
    struct buf held;       /* messages that wait for the backlog: struct held, text */
    uint64_t skipped;      /* entries, since it was last told */
    uint64_t last_skipped; /* the highest number among them */
    bool doubts;           /* more may be missing, nobody knows how many */
};

struct logs_live {
    struct logs_live_options options;
    struct map rooms;
    struct list everywhere, waiting;
    uint32_t count; /* listeners, waiting ones too */
    struct stream_follow *tail;
    struct list backlogs, backlog_line; /* being read; waiting for that */
    uint64_t backlog_pause_ms;          /* monotonic: none begins before */
    struct event *backlog_timer;
    struct metrics_source gauges;
};

/* live.c */
/* Entries of one room, as the text of a JSON array, for the listeners of that room. */
void logs_live_deliver(struct logs_live *live, struct span room, struct span text,
                       struct logs_run run);
/* All listeners are told that `count` entries are missing, none with a number above `last`. */
void logs_live_missed(struct logs_live *live, uint64_t count, uint64_t last);
/* All listeners are told that entries may be missing, nobody knows how many. */
void logs_live_doubt(struct logs_live *live, uint64_t last);
/* The same, for one of them. */
void logs_listener_doubt(struct log_listener *listener, uint64_t last);
/* The tail follows, or will once the store is back: lets in the listeners that wait. */
void logs_live_admit(struct logs_live *live);
/* One message to one listener, or none when it has no room for it. */
void logs_listener_send(struct log_listener *listener, struct shared_message *frame,
                        struct logs_run run);

/* tail.c */
struct stream_follow *logs_tail_new(struct logs_live *live);
bool logs_live_wants(const struct logs_live *live, struct span room);

/* backlog.c */
void logs_backlog_init(struct logs_live *live);
void logs_backlog_start(struct log_listener *listener);
/* The listener goes. */
void logs_backlog_cancel(struct log_listener *listener);
void logs_backlog_deinit(struct logs_live *live);
/* Sends it, or what there is of it, and then what was held. Called by backlog.c itself. */
void logs_listener_backlog_done(struct log_listener *listener);

/* What is sent from now on goes to many, or no more (net_send_bulk): some would hold up all others. */
void logs_live_set_bulk(struct logs_live *live, bool bulk);

#endif
