/* SPDX-License-Identifier: MIT */
/* redis link: one Redis server, reached over two connections: one for commands, one that is
 * subscribed.
 *
 *     WAITING --back-off--> CONNECTING --on the roll--> PROVING --own message came back--> UP
 *        ^                      |                      |                               |
 *        '------- any failure: text, both connections go, all is built again ----------'
 *
 * A link is proved, not believed: while it is up, a small message goes out over the command
 * connection every beat and has to come back over the subscribed one. One that does not come in
 * time (server paused, or the two connections ended up on different servers after a fail-over)
 * tears the link down. Each try begins with the question where the server is: with sentinels a loss
 * is how a fail-over shows. */
#ifndef MUSTER_STORE_REDIS_LINK_H
#define MUSTER_STORE_REDIS_LINK_H

#include "store/backend.h"
#include "store/redis/conn.h"
#include "store/redis/redirect.h"
#include "store/redis/url.h"

struct resolver;
struct redis_link;

enum { REDIS_LINK_ROLLS = PARTITIONS };

/* What a link in a cluster asks and tells besides. */
struct redis_link_cluster {
    /* A partition that this server has; -1: none. */
    int (*tag)(void *arg);
    bool (*has)(void *arg, unsigned partition);
    /* Do channels belong to slots? */
    bool (*is_sharded)(void *arg);
    /* The server has no channels of slots, or the fleet (`by_fleet`) uses none: nor will this node. */
    void (*go_plain)(void *arg, bool by_fleet);
    /* The server does not serve a slot: MOVED, or nobody does. */
    void (*redirected)(void *arg, const struct redis_redirect *to);
    /* The server has ended a subscription to a channel of this partition by itself. */
    void (*gave_up)(void *arg, unsigned partition);
    /* Has a roll of the cluster let this node in? */
    bool (*is_welcome)(void *arg);
    /* One has. */
    void (*welcomed)(void *arg);
};

struct redis_link_events {
    /* The server can be used from now on, or no more (also when a try to reach it failed). */
    void (*link)(void *arg, bool up, const char *text);
    /* The link that comes up next is to another server than the one before. */
    void (*moved)(void *arg);
    /* A message of this node's own that went out at `asked_us` (monotonic) came back. */
    void (*proof)(void *arg, uint64_t asked_us);
    /* Puts the shards on whose rolls at that server this node stands into `shards` (of REDIS_LINK_ROLLS);
     * returns how many. */
    unsigned (*rolls)(void *arg, unsigned *shards);
    /* Is that channel this server's? NULL: all that it is asked for are. */
    bool (*has)(void *arg, struct span channel);
    const struct redis_link_cluster *cluster; /* NULL: the server is not one of a cluster */
};

/* New link, to be tried from the next turn on, for ever. All is borrowed for its life. */
struct redis_link *redis_link_new(struct store *store, const struct redis_link_events *events,
                                  void *arg, const struct redis_server *server,
                                  const struct redis_tls_files *files, struct resolver *resolver)
    __attribute__((returns_nonnull, warn_unused_result));

/* Gives the link up and tries it again. */
void redis_link_again(struct redis_link *link, const char *why);

/* A roll elsewhere in the cluster has let this node in: goes on, where that was waited for. */
void redis_link_welcome(struct redis_link *link);

/* Is it up? */
bool redis_link_is_up(const struct redis_link *link);

void redis_link_free(struct redis_link **link);

/* Up, and proved within the last beats. */
bool redis_link_ready(const struct redis_link *link);

/* Surely on the roll of the server: what was there when it last said so is there, whatever this node has slept
 * through since. */
bool redis_link_is_on_roll(const struct redis_link *link);

/* Asks for a proof besides those of the beats, unless one is under way. */
void redis_link_prove(struct redis_link *link);

/* Bytes of commands that the system has not taken yet. */
size_t redis_link_queued(const struct redis_link *link);

/* Queues a command, in RESP. 0, or -1 when the link is not up or its queue full (and `fn` is not
 * called). */
int redis_link_command(struct redis_link *link, struct span command, redis_reply_fn *fn, void *arg)
    __attribute__((warn_unused_result));

/* The same for one whose answer only says whether it failed. With `quiet` there is none where the server
 * can leave it out: who sends many alike asks for that of the first, and now and then. */
int redis_link_say(struct redis_link *link, struct span command, bool quiet)
    __attribute__((warn_unused_result));

/* The same for one whose long parts are shared. */
int redis_link_share(struct redis_link *link, const struct redis_outbox *command,
                     redis_reply_fn *fn, void *arg) __attribute__((warn_unused_result));

/* What every redis_reply_fn does first: true when the answer can be used. A loss, an error that only
 * a new connection can heal, or that another server has the slot, is dealt with here. */
bool redis_link_check(struct redis_link *link, const redisReply *reply);

/* SUBSCRIBE or UNSUBSCRIBE, in a cluster to channels of one slot; nothing when the link is not up. */
void redis_link_subscribe(struct redis_link *link, const struct span *channels, size_t count,
                          bool on);

/* The command that publishes at that server, or ends in its name where scripts do. */
struct span redis_link_publish_word(const struct redis_link *link);

/* Takes this node off the roll of the server; the link goes on. */
void redis_link_leave(struct redis_link *link);

/* The name of the history that the server is in (docs/store.md#words), as of the last beat: "-" when
 * it may not be asked. Borrowed until the next turn. */
struct span redis_link_timeline(const struct redis_link *link);

/* "host port" of the last link that was up, or NULL. Borrowed until the next turn. */
const char *redis_link_at(const struct redis_link *link);

/* The replicas are asked (store/redis/wait.h). 0, or -1 without a call of `fn`: the link is not up. */
int redis_link_replicated(struct redis_link *link, backend_answer_fn *fn, void *arg)
    __attribute__((warn_unused_result));

struct store *redis_link_store(const struct redis_link *link);

#endif
