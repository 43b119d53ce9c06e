/* SPDX-License-Identifier: MIT */
#include "store/memory/roster.h"

#include "store/roster/note.h"
#include "store/wire.h"

#include <inttypes.h>
#include <sys/time.h>

struct hub_member {
    struct map_node node;
    uint64_t token; /* of the lease that it lives by */
    char *value;
    size_t value_len;
    char name[];
};

struct hub_roster {
    struct map_node node;
    struct map members;
    uint64_t birth, version;
    char name[];
};

struct hub_lease {
    struct map_node node;
    uint64_t token;
    int64_t ends_us;
    char name[];
};

/* One touch being carried out. */
struct visit {
    struct hub_roster *roster;
    uint64_t token;     /* of the caller's lease */
    struct buf entries; /* what changed */
    long changes;
};

void memory_rosters_init(struct memory_rosters *rosters)
{
    map_init(&rosters->keys);
    map_init(&rosters->leases);
}

static void lease_free(struct memory_rosters *rosters, struct hub_lease *lease)
{
    map_remove(&rosters->leases, &lease->node);
    free(lease);
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
    MAP_EACH(it, &rosters->leases) {
        lease_free(rosters, MAP_ENTRY(it, struct hub_lease, node));
    }
    map_deinit(&rosters->leases);
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
    map_init(&roster->members);
    map_insert(&rosters->keys, &roster->node, span_of(roster->name, key.len));
    return roster;
}

static void note_change(struct visit *visit, const struct roster_entry *entry)
{
    roster_note_entry(&visit->entries, entry);
    visit->changes++;
}

static void set(struct visit *visit, const struct roster_entry *entry)
{
    struct map *members = &visit->roster->members;
    struct map_node *node = map_find(members, entry->member);
    struct hub_member *member = node != NULL ? MAP_ENTRY(node, struct hub_member, node) : NULL;
    if (member != NULL && member->token == visit->token &&
        span_eq(span_of(member->value, member->value_len), entry->value)) {
        return;
    }
    if (member == NULL) {
        member = mem_zalloc(sizeof(*member) + entry->member.len);
        memcpy(member->name, entry->member.ptr, entry->member.len);
        map_insert(members, &member->node, span_of(member->name, entry->member.len));
    }
    free(member->value);
    member->value = mem_dup(entry->value);
    member->value_len = entry->value.len;
    member->token = visit->token;
    struct roster_entry news = {entry->member, entry->value, false, visit->token};
    note_change(visit, &news);
}

static void release(struct visit *visit, const struct roster_entry *entry)
{
    struct map_node *node = map_find(&visit->roster->members, entry->member);
    if (node != NULL && MAP_ENTRY(node, struct hub_member, node)->token == entry->token) {
        note_change(visit, entry);
        member_free(visit->roster, MAP_ENTRY(node, struct hub_member, node));
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
                                     span_of(member->value, member->value_len), false,
                                     member->token};
        roster_note_entry(answer, &entry);
    }
}

static int64_t now_us(void)
{
    struct timeval now;
    gettimeofday(&now, NULL);
    return (int64_t)now.tv_sec * 1000000 + now.tv_usec;
}

void memory_roster_touch(struct memory_rosters *rosters, const struct roster_touch *touch,
                         struct buf *answer, struct buf *change)
{
    struct visit visit = {.roster = roster_get(rosters, touch->key, now_us()),
                          .token = touch->token};
    for (size_t i = 0; i < touch->count; i++) {
        if (touch->entries[i].gone) {
            release(&visit, &touch->entries[i]);
        } else {
            set(&visit, &touch->entries[i]);
        }
    }
    struct hub_roster *roster = visit.roster;
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

/* ----------------------------------------------------------------------------------- leases */

static struct hub_lease *lease_get(struct memory_rosters *rosters, struct span node)
{
    struct map_node *found = map_find(&rosters->leases, node);
    if (found != NULL) {
        return MAP_ENTRY(found, struct hub_lease, node);
    }
    struct hub_lease *lease = mem_zalloc(sizeof(*lease) + node.len);
    memcpy(lease->name, node.ptr, node.len);
    map_insert(&rosters->leases, &lease->node, span_of(lease->name, node.len));
    return lease;
}

static void renew(struct memory_rosters *rosters, const struct roster_beat *beat,
                  struct hub_lease *lease, int64_t now)
{
    if (lease->token == 0 || beat->token == 0) {
        rosters->last_token =
            (uint64_t)now > rosters->last_token ? (uint64_t)now : rosters->last_token + 1;
        lease->token = rosters->last_token;
        rosters->leases_version++;
    }
    lease->ends_us = now + (int64_t)beat->ttl_us;
}

/* See roster_beat.lua: when the caller was there and no node came, all leases begin again. */
static void end_leases(struct memory_rosters *rosters, const struct roster_beat *beat, int64_t now)
{
    int64_t gap = now - rosters->beaten_us;
    bool stood = gap < 0 || gap > (int64_t)beat->beat_us * 3 / 2;
    bool over = false;
    MAP_EACH(it, &rosters->leases) {
        struct hub_lease *lease = MAP_ENTRY(it, struct hub_lease, node);
        if (stood) {
            lease->ends_us = now + (int64_t)beat->ttl_us;
        } else if (lease->ends_us <= now) {
            lease_free(rosters, lease);
            over = true;
        }
    }
    rosters->leases_version += over;
}

void memory_roster_beat(struct memory_rosters *rosters, const struct roster_beat *beat,
                        struct buf *answer)
{
    int64_t now = now_us();
    bool witness = beat->birth != 0;
    struct hub_lease *mine = lease_get(rosters, beat->node);
    renew(rosters, beat, mine, now);
    if (witness) {
        end_leases(rosters, beat, now);
    }
    if (witness || now - rosters->beaten_us <= (int64_t)beat->beat_us * 3 / 2) {
        rosters->beaten_us = now;
    }
    bool listed = !witness || beat->version != rosters->leases_version;
    buf_printf(answer, "%d 1 %" PRIu64 " %" PRIu64 " %" PRIu64 " %d\n", STORE_WIRE_TO,
               rosters->leases_version, rosters->last_token, mine->token, listed);
    MAP_EACH(it, &rosters->leases) {
        if (listed) {
            buf_printf(answer, "%" PRIu64 "\n", MAP_ENTRY(it, struct hub_lease, node)->token);
        }
    }
}
