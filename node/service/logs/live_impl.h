/* SPDX-License-Identifier: MIT */
/* What live.c (listeners), tail.c (the tail), news.c (what goes to all of them) and backlog.c (what came
 * before) share; no other file includes it. */
#ifndef MUSTER_NODE_SERVICE_LOGS_LIVE_IMPL_H
#define MUSTER_NODE_SERVICE_LOGS_LIVE_IMPL_H

#include "node/fanout/group.h"
#include "node/net/work.h"
#include "node/service/logs/live.h"
#include "store/base/cursor.h"
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
    struct list all;        /* in `all`, once it is let in */
    uint64_t has;           /* number of the last news that it has, or came after */
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

/* What goes to more listeners than one turn has time for (news.c). */
struct logs_walk {
    struct list news; /* struct logs_news: the first one is on its way */
    size_t bytes;     /* of them */
    uint64_t number;  /* of the last */
    struct cursor at; /* in the list that the first one goes through; in none: it has not begun */
    struct net_work work;
    uint64_t turn; /* of the loop, and how many more may be sent in it at once */
    unsigned left;
};

struct logs_live {
    struct logs_live_options options;
    struct map rooms;
    struct list all; /* that were let in */
    struct list everywhere, waiting;
    uint32_t count, waits; /* listeners, waiting ones too; these */
    struct net_work admission;
    struct logs_walk walk;
    struct stream_follow *tail;
    struct list backlogs, backlog_line; /* being read; waiting for that */
    uint64_t backlog_pause_ms;          /* monotonic: none begins before */
    struct event *backlog_timer;
    struct metrics_source gauges;
};

/* live.c */
/* The tail follows, or will once the store is back: lets in the listeners that wait. */
void logs_live_admit(struct logs_live *live);
/* One message to one listener, or none when it has no room for it. */
void logs_listener_send(struct log_listener *listener, struct shared_message *frame,
                        struct logs_run run);
/* Kept until its backlog is with it. */
void logs_listener_hold(struct log_listener *listener, struct span text, struct logs_run run);
/* It is told that `count` entries are missing, none with a number above `last`, when it is sent the next. */
void logs_listener_skip(struct log_listener *listener, uint64_t count, uint64_t last);
/* It is told that entries may be missing, nobody knows how many: at once where it reads. */
void logs_listener_doubt(struct log_listener *listener, uint64_t last);

/* news.c */
void logs_news_init(struct logs_live *live);
void logs_news_deinit(struct logs_live *live);
/* Entries of one room, as the text of a JSON array, for the listeners of that room. */
void logs_live_deliver(struct logs_live *live, struct span room, struct span text,
                       struct logs_run run);
/* All listeners are told that `count` entries are missing, none with a number above `last`. */
void logs_live_missed(struct logs_live *live, uint64_t count, uint64_t last);
/* All listeners are told that entries may be missing, nobody knows how many. */
void logs_live_doubt(struct logs_live *live, uint64_t last);
/* No more shall be read of the tail for now. */
bool logs_news_are_full(const struct logs_live *live);
/* The listener is given what it does not have yet: it is about to be closed. */
void logs_news_give(struct log_listener *listener);
/* The listener goes; a room goes. */
void logs_news_leave(struct log_listener *listener);
void logs_news_leave_room(struct logs_live *live, const struct live_room *room);

/* tail.c */
struct stream_follow *logs_tail_new(struct logs_live *live);
bool logs_live_wants(const struct logs_live *live, struct span room);

/* backlog.c */
void logs_backlog_init(struct logs_live *live);
void logs_backlog_start(struct log_listener *listener);
/* The listener goes. */
void logs_backlog_cancel(struct log_listener *listener);
void logs_backlog_deinit(struct logs_live *live);
/* Is news of that number part of the backlog that the listener waits for? */
bool logs_backlog_covers(const struct log_listener *listener, uint64_t number);
/* Sends what was held, and says how many messages that were. Called by backlog.c itself. */
size_t logs_listener_backlog_done(struct log_listener *listener);

/* What is sent from now on goes to many, or no more (net_send_bulk): some would hold up all others. */
void logs_live_set_bulk(struct logs_live *live, bool bulk);

#endif
