/* SPDX-License-Identifier: MIT */
/* self: what a node says of itself in the roster of nodes (view.h): how it is, with its figures; its lists,
 * where they changed, at so many bytes a second; what the store's servers told it. */
#ifndef MUSTER_NODE_SERVICE_FLEET_SELF_H
#define MUSTER_NODE_SERVICE_FLEET_SELF_H

#include "node/service/fleet/hour.h"
#include "node/service/fleet/options.h"
#include "node/service/fleet/servers.h"

/* Lives inside the fleet. */
struct fleet_self {
    const struct fleet_options *options; /* borrowed */
    uint64_t started_s;                  /* unix */
    struct buf said;                     /* the state with which the figures were told last, */
    uint64_t said_ms;                    /* and when, of a clock that never jumps; 0: never */
    bool store_seen;
    uint64_t away_ms; /* unix, since when a server is; 0: all are there */
    struct fleet_list lists[FLEET_LISTS];
    size_t list_count;
    struct fleet_hour hour; /* told with them */
    struct buf published;   /* the lists as the roster has them */
    uint64_t lists_due_us;
    struct buf told; /* of the servers, as the roster has it; empty: another node tells */
};

/* How it goes to the roster: roster_claim, or roster_claim_patiently. */
typedef void fleet_claim_fn(struct store *store, struct span key, struct span member,
                            struct span value);

/* `options` is borrowed. */
void fleet_self_init(struct fleet_self *self, const struct fleet_options *options);
void fleet_self_deinit(struct fleet_self *self);

/* One more list, if there is room. */
void fleet_self_show(struct fleet_self *self, const struct fleet_list *list);

/* Is the node's state another one than at the last such question? */
bool fleet_self_has_news(struct fleet_self *self);

/* Says the lists, if they are due, and then the figures. */
void fleet_self_say(struct fleet_self *self, fleet_claim_fn *claim);

/* One node asks the servers of the store, and tells all: `speaks`, this one. Not `due`: only where it has
 * not told yet. */
void fleet_self_say_servers(struct fleet_self *self, struct fleet_servers *servers, bool speaks,
                            bool due);

#endif
