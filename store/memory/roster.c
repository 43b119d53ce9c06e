/* SPDX-License-Identifier: MIT */
#include "store/memory/roster.h"

#include "store/roster/note.h"

#include <sys/time.h>

struct hub_member {
    struct map_node node;
    int64_t expiry_us; /* less the roster's shift */
    char *value;
    size_t value_len;
    char name[];
};

struct hub_roster {
    struct map_node node;
    struct map members;
    uint64_t birth, version;
    int64_t touched_us;
    int64_t shift_us; /* added to every expiry: how long no node could renew */
    char name[];
};

/* One touch being carried out. */
struct visit {
    struct hub_roster *roster;
    int64_t now_us;
    struct buf entries; /* what changed */
    long changes;
};

void memory_rosters_init(struct memory_rosters *rosters)
{
    map_init(&rosters->keys);
}

static void member_free(struct hub_roster *roster, struct hub_member *member)
{
    map_remove(&roster->members, &member->node);
    free(member->value);
    free(member);
}

static void roster_free(struct memory_rosters *rosters, struct hub_roster *roster)
{
    MAP_EACH(it, &roster->members) {
        member_free(roster, MAP_ENTRY(it, struct hub_member, node));
    }
    map_deinit(&roster->members);
    map_remove(&rosters->keys, &roster->node);
    free(roster);
}

void memory_rosters_deinit(struct memory_rosters *rosters)
{
    MAP_EACH(it, &rosters->keys) {
        roster_free(rosters, MAP_ENTRY(it, struct hub_roster, node));
    }
    map_deinit(&rosters->keys);
}

static struct hub_roster *roster_get(struct memory_rosters *rosters, struct span key, int64_t now)
{
    struct map_node *node = map_find(&rosters->keys, key);
    if (node != NULL) {
        return MAP_ENTRY(node, struct hub_roster, node);
    }
    struct hub_roster *roster = mem_zalloc(sizeof(*roster) + key.len);
    memcpy(roster->name, key.ptr, key.len);
    roster->birth = (uint64_t)now > rosters->last_birth ? (uint64_t)now : rosters->last_birth + 1;
    rosters->last_birth = roster->birth;
    roster->touched_us = now;
    map_init(&roster->members);
    map_insert(&rosters->keys, &roster->node, span_of(roster->name, key.len));
    return roster;
}

static void note_change(struct visit *visit, struct span member, struct span value, bool gone)
{
    struct roster_entry entry = {member, value, gone};
    roster_note_entry(&visit->entries, &entry);
    visit->changes++;
}

static void drop(struct visit *visit, struct hub_member *member)
{
    note_change(visit, map_key(&member->node), span_of(NULL, 0), true);
    member_free(visit->roster, member);
}

/* See roster.lua: when the caller was there and no node could renew, time stood still. */
static void bridge_outage(struct visit *visit, int64_t lease, bool witness)
{
    int64_t gap = visit->now_us - visit->roster->touched_us;
    int64_t renew = lease * 30 / 100;
    if (gap < 0) {
        visit->roster->shift_us += gap;
    } else if (witness && gap > renew * 3 / 2) {
        visit->roster->shift_us += gap + renew / 2;
    } else if (witness && gap > renew) {
        visit->roster->shift_us += gap - renew;
    }
}

static void prune(struct visit *visit)
{
    MAP_EACH(it, &visit->roster->members) {
        struct hub_member *member = MAP_ENTRY(it, struct hub_member, node);
        if (member->expiry_us + visit->roster->shift_us <= visit->now_us) {
            drop(visit, member);
        }
    }
}

static void set(struct visit *visit, const struct roster_entry *entry, int64_t ttl)
{
    struct map *members = &visit->roster->members;
    struct map_node *node = map_find(members, entry->member);
    struct hub_member *member = node != NULL ? MAP_ENTRY(node, struct hub_member, node) : NULL;
    bool same = member != NULL && span_eq(span_of(member->value, member->value_len), entry->value);
    if (member == NULL) {
        member = mem_zalloc(sizeof(*member) + entry->member.len);
        memcpy(member->name, entry->member.ptr, entry->member.len);
        map_insert(members, &member->node, span_of(member->name, entry->member.len));
    }
    member->expiry_us = visit->now_us + ttl - visit->roster->shift_us;
    if (!same) {
        free(member->value);
        member->value = mem_dup(entry->value);
        member->value_len = entry->value.len;
        note_change(visit, entry->member, entry->value, false);
    }
}

static void release(struct visit *visit, struct span name)
{
    struct map_node *node = map_find(&visit->roster->members, name);
    if (node != NULL) {
        drop(visit, MAP_ENTRY(node, struct hub_member, node));
    }
}

static void answer_touch(const struct hub_roster *roster, bool snapshot, struct buf *answer)
{
    long count = snapshot ? (long)roster->members.count : -1;
    roster_note_head(answer, roster->version > 0 ? roster->birth : 0, 0, roster->version, count);
    if (!snapshot) {
        return;
    }
    MAP_EACH(it, &roster->members) {
        struct hub_member *member = MAP_ENTRY(it, struct hub_member, node);
        struct roster_entry entry = {map_key(&member->node),
                                     span_of(member->value, member->value_len), false};
        roster_note_entry(answer, &entry);
    }
}

static int64_t now_us(void)
{
    struct timeval now;
    gettimeofday(&now, NULL);
    return (int64_t)now.tv_sec * 1000000 + now.tv_usec;
}

void memory_roster_touch(struct memory_rosters *rosters, uint32_t lease_ms,
                         const struct roster_touch *touch, struct buf *answer, struct buf *change)
{
    int64_t lease = (int64_t)lease_ms * 1000;
    struct visit visit = {.now_us = now_us()};
    visit.roster = roster_get(rosters, touch->key, visit.now_us);
    bridge_outage(&visit, lease, touch->birth == visit.roster->birth);
    for (size_t i = 0; i < touch->count; i++) {
        if (touch->entries[i].gone) {
            release(&visit, touch->entries[i].member);
        } else {
            set(&visit, &touch->entries[i], lease * 65 / 100);
        }
    }
    prune(&visit); /* last: what is renewed just now does not go */
    struct hub_roster *roster = visit.roster;
    roster->touched_us = visit.now_us;
    if (visit.changes > 0) {
        roster->version++;
        roster_note_head(change, roster->birth, roster->version - 1, roster->version,
                         visit.changes);
        buf_append(change, buf_span(&visit.entries));
    }
    answer_touch(roster, touch->snapshot, answer);
    if (roster->members.count == 0) {
        roster_free(rosters, roster);
    }
    buf_free(&visit.entries);
}
