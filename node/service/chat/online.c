/* SPDX-License-Identifier: MIT */
#include "node/service/chat/online.h"

#include "node/net/work.h"
#include "node/proto/json/scan.h"
#include "store/base/buf.h"
#include "store/base/clock.h"
#include "store/base/decimal.h"
#include "store/base/hash.h"
#include "store/base/map.h"
#include "store/roster/roster.h"

#include <stdio.h>
#include <stdlib.h>

#define KEY SPAN("chat:online")

enum {
    CHAT_ONLINE_VALUE_MOST = 60 * 1024, /* bytes of one part; a roster value holds 64 KiB */
    CHAT_ONLINE_PAUSE_MS = 500,         /* between two claims of the same part */
    CHAT_ONLINE_NAME = 80,
    SHOWN_USERS = 32,            /* on the fleet's page */
    CHAT_ONLINE_SHOWN_NAME = 48, /* bytes of a name there */
};

/* A user's connections here. */
struct local_user {
    struct map_node node;
    struct list entry;  /* in its part */
    struct list spoken; /* of struct chat_online; unlinked while he is silent */
    char *shown;        /* his name, once he spoke */
    uint32_t connections;
    char name[];
};

struct part {
    struct list users;
    uint64_t claimed_ms;
    bool dirty;
};

struct chat_online {
    struct chat_online_options options;
    struct map users;
    struct part parts[CHAT_ONLINE_PARTS];
    struct list spoken; /* struct local_user, the last to speak first */
    struct roster_watch *watch;
    bool seen; /* the view, at least once */
    struct wheel_timer timer;
    struct net_work claims; /* those whose time has come */
    unsigned next;          /* the part that it looks at next */
};

/* ----------------------------------------------------------------------------- own users */

static unsigned part_of(const char *user)
{
    uint32_t hash = hash_fnv1a(span_str(user)); /* only spreads */
    return (hash ^ (hash >> 16)) % CHAT_ONLINE_PARTS;
}

/* "<node>/<part>" */
static struct span member_name(const struct chat_online *online, unsigned at,
                               char out[static CHAT_ONLINE_NAME])
{
    int len = snprintf(out, CHAT_ONLINE_NAME, "%s/%u", online->options.node, at);
    return span_of(out, (size_t)len);
}

static void claim(struct chat_online *online, unsigned at)
{
    struct part *part = &online->parts[at];
    struct buf value = {0};
    char name[CHAT_ONLINE_NAME];
    LIST_EACH(it, &part->users) {
        const struct local_user *user = LIST_ITEM(it, struct local_user, entry);
        struct span text = span_of(user->name, strlen(user->name) + 1); /* with the NUL behind it */
        if (value.len + text.len <= CHAT_ONLINE_VALUE_MOST) {
            buf_append(&value, text);
        }
    }
    if (value.len > 0) {
        roster_claim(online->options.store, KEY, member_name(online, at, name), buf_span(&value));
    } else {
        roster_release(online->options.store, KEY, member_name(online, at, name));
    }
    part->claimed_ms = clock_monotonic_ms();
    part->dirty = false;
    buf_free(&value);
}

static bool may_claim(const struct part *part)
{
    return clock_monotonic_ms() - part->claimed_ms >= CHAT_ONLINE_PAUSE_MS;
}

/* Claims one that is due: all may be at once, with hundreds of names each. False: none is. */
static bool claim_next(struct net_work *work)
{
    struct chat_online *online = CONTAINER_OF(work, struct chat_online, claims);
    for (unsigned i = 0; i < CHAT_ONLINE_PARTS; i++) {
        unsigned at = online->next++ % CHAT_ONLINE_PARTS;
        if (online->parts[at].dirty && may_claim(&online->parts[at])) {
            claim(online, at);
            return true;
        }
    }
    return false;
}

static void touch(struct chat_online *online, unsigned at)
{
    struct part *part = &online->parts[at];
    bool news = !part->dirty;
    part->dirty = true;
    if (may_claim(part)) {
        net_work_queue(online->options.net, &online->claims);
    } else if (news) {
        wheel_set(online->options.wheel, &online->timer, CHAT_ONLINE_PAUSE_MS);
    }
}

static void on_timer(struct wheel_timer *timer)
{
    struct chat_online *online = CONTAINER_OF(timer, struct chat_online, timer);
    net_work_queue(online->options.net, &online->claims);
}

void chat_online_add(struct chat_online *online, const char *user)
{
    struct map_node *node = map_find(&online->users, span_str(user));
    if (node != NULL) {
        MAP_ENTRY(node, struct local_user, node)->connections++;
        return;
    }
    size_t len = strlen(user);
    unsigned at = part_of(user);
    struct local_user *added = mem_zalloc(sizeof(*added) + len + 1);
    memcpy(added->name, user, len + 1);
    added->connections = 1;
    list_init(&added->spoken);
    map_insert(&online->users, &added->node, span_of(added->name, len));
    list_push_back(&online->parts[at].users, &added->entry);
    touch(online, at);
}

static void local_user_free(struct local_user *user)
{
    list_del(&user->entry);
    list_del(&user->spoken);
    free(user->shown);
    free(user);
}

void chat_online_remove(struct chat_online *online, const char *user)
{
    struct map_node *node = map_find(&online->users, span_str(user));
    struct local_user *gone = node != NULL ? MAP_ENTRY(node, struct local_user, node) : NULL;
    if (gone == NULL || --gone->connections > 0) {
        return;
    }
    unsigned at = part_of(user);
    map_remove(&online->users, node);
    local_user_free(gone);
    touch(online, at);
}

/* ------------------------------------------------------------------------------ the page */

void chat_online_spoke(struct chat_online *online, const char *user, const char *name)
{
    struct map_node *node = map_find(&online->users, span_str(user));
    if (node == NULL) {
        return;
    }
    struct local_user *speaker = MAP_ENTRY(node, struct local_user, node);
    if (speaker->shown == NULL || strcmp(speaker->shown, name) != 0) {
        free(speaker->shown);
        speaker->shown = mem_dup(span_str(name));
    }
    list_del(&speaker->spoken);
    list_push_back(online->spoken.next, &speaker->spoken); /* before the first */
}

void chat_online_describe(const struct chat_online *online, struct buf *out)
{
    size_t count = 0;
    buf_append(out, SPAN("{\"rows\":["));
    for (struct list *it = online->spoken.next; it != &online->spoken && count < SHOWN_USERS;
         it = it->next) {
        buf_append(out, count++ > 0 ? SPAN(",{\"name\":") : SPAN("{\"name\":"));
        json_quote_cut(span_str(LIST_ITEM(it, struct local_user, spoken)->shown),
                       CHAT_ONLINE_SHOWN_NAME, out);
        buf_append(out, SPAN("}"));
    }
    buf_printf(out, "],\"more\":%zu}", online->users.count - count);
}

/* --------------------------------------------------------------------------- the cluster's */

/* A walk over all users of a part, each given once: those of this node, then those of others. */
struct walk {
    const struct chat_online *online;
    unsigned part;
    struct map seen; /* of other nodes */
    bool (*fn)(void *arg, struct span user);
    void *arg;
    bool over; /* no more are wanted */
};

struct seen_user {
    struct map_node node;
};

static bool is_own(const struct chat_online *online, struct span member)
{
    struct span node = span_str(online->options.node);
    return span_starts_with(member, node) && member.len > node.len && member.ptr[node.len] == '/';
}

/* Is it that part of a node? */
static bool is_part(struct span member, unsigned part)
{
    uint64_t number;
    const char *slash = memrchr(member.ptr, '/', member.len);
    return slash != NULL &&
           decimal_read(span_skip(member, (size_t)(slash - member.ptr) + 1), UINT64_MAX, &number) &&
           number == part;
}

static void see_part(void *arg, const struct roster_member *member)
{
    struct walk *walk = arg;
    struct span rest = member->value;
    if (walk->over || !is_part(member->name, walk->part) || is_own(walk->online, member->name)) {
        return;
    }
    while (!walk->over && rest.len > 0) {
        struct span user = span_cut(&rest, '\0');
        if (map_find(&walk->seen, user) == NULL && map_find(&walk->online->users, user) == NULL) {
            struct seen_user *seen = mem_zalloc(sizeof(*seen));
            map_insert(&walk->seen, &seen->node, user); /* the view's bytes stay during the walk */
            walk->over = !walk->fn(walk->arg, user);
        }
    }
}

bool chat_online_each(const struct chat_online *online, unsigned part,
                      bool (*fn)(void *arg, struct span user), void *arg)
{
    struct walk walk = {.online = online, .part = part, .fn = fn, .arg = arg};
    if (!online->seen) {
        return false;
    }
    map_init(&walk.seen);
    for (struct list *it = online->parts[part].users.next;
         it != &online->parts[part].users && !walk.over; it = it->next) {
        walk.over = !fn(arg, span_str(LIST_ITEM(it, struct local_user, entry)->name));
    }
    if (!walk.over) {
        roster_each(online->watch, see_part, &walk);
    }
    MAP_EACH(it, &walk.seen) {
        map_remove(&walk.seen, it);
        free(MAP_ENTRY(it, struct seen_user, node));
    }
    map_deinit(&walk.seen);
    return true;
}

/* The view is read only when a caller asks for it. */
static void on_roster(void *arg, enum roster_event event, const struct roster_member *member)
{
    struct chat_online *online = arg;
    (void)member;
    online->seen |= event == ROSTER_CHANGED || event == ROSTER_CURRENT;
}

struct chat_online *chat_online_new(const struct chat_online_options *options)
{
    struct chat_online *online = mem_zalloc(sizeof(*online));
    online->options = *options;
    map_init(&online->users);
    list_init(&online->spoken);
    for (unsigned at = 0; at < CHAT_ONLINE_PARTS; at++) {
        list_init(&online->parts[at].users);
    }
    wheel_timer_init(&online->timer, on_timer);
    net_work_init(&online->claims, claim_next);
    online->watch = roster_watch(options->store, KEY, on_roster, online);
    return online;
}

void chat_online_free(struct chat_online **online)
{
    if (*online == NULL) {
        return;
    }
    MAP_EACH(it, &(*online)->users) {
        struct local_user *user = MAP_ENTRY(it, struct local_user, node);
        map_remove(&(*online)->users, it);
        local_user_free(user);
    }
    map_deinit(&(*online)->users);
    roster_unwatch(&(*online)->watch);
    wheel_cancel(&(*online)->timer);
    net_work_cancel(&(*online)->claims);
    free(*online);
    *online = NULL;
}
