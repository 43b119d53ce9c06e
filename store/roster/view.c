/* SPDX-License-Identifier: MIT */
#include "store/roster/view.h"

struct view_member {
    struct map_node node;
    struct list held; /* linked while held */
    uint64_t hold_until;
    uint64_t token; /* of the lease that it lives by */
    bool listed;    /* by the snapshot being read */
    char *value;
    size_t value_len;
    char name[];
};

static struct roster_member member_of(const struct view_member *member)
{
    return (struct roster_member){map_key(&member->node),
                                  span_of(member->value, member->value_len)};
}

void roster_view_init(struct roster_view *view, struct roster_lease *lease)
{
    *view = (struct roster_view){.lease = lease};
    list_init(&view->ghosts);
    map_init(&view->members);
    list_init(&view->held);
}

static void member_free(struct view_member *member)
{
    free(member->value);
    free(member);
}

void roster_view_reset(struct roster_view *view)
{
    MAP_EACH(it, &view->members) {
        struct view_member *member = MAP_ENTRY(it, struct view_member, node);
        map_remove(&view->members, it);
        member_free(member);
    }
    LIST_EACH(it, &view->ghosts) {
        roster_view_end_ghost(LIST_ITEM(it, struct roster_ghost, entry));
    }
    map_deinit(&view->members);
    roster_view_init(view, view->lease);
}

static struct view_member *find(const struct roster_view *view, struct span name)
{
    struct map_node *node = map_find(&view->members, name);
    return node != NULL ? MAP_ENTRY(node, struct view_member, node) : NULL;
}

static void unhold(struct roster_view *view, struct view_member *member)
{
    if (!list_empty(&member->held)) {
        list_del(&member->held);
        view->held_count--;
    }
}

static void hold(struct roster_view *view, struct view_member *member, uint64_t until)
{
    unhold(view, member);
    member->hold_until = until;
    list_push_back(&view->held, &member->held);
    view->held_count++;
}

static struct view_member *insert(struct roster_view *view, struct span name)
{
    struct view_member *member = mem_zalloc(sizeof(*member) + name.len);
    memcpy(member->name, name.ptr, name.len);
    list_init(&member->held);
    map_insert(&view->members, &member->node, span_of(member->name, name.len));
    return member;
}

static void drop(struct roster_view *view, struct view_member *member, roster_view_fn *fn,
                 void *arg)
{
    struct roster_member told = member_of(member);
    unhold(view, member);
    map_remove(&view->members, &member->node);
    fn(arg, ROSTER_GONE, &told);
    member_free(member);
}

static bool is_over(const struct roster_view *view, uint64_t token)
{
    return view->lease != NULL && roster_lease_is_over(view->lease, token);
}

static void add_ghost(struct roster_view *view, struct span name, uint64_t token)
{
    struct roster_ghost *ghost = mem_zalloc(sizeof(*ghost) + name.len);
    ghost->token = token;
    ghost->len = name.len;
    memcpy(ghost->name, name.ptr, name.len);
    list_push_back(&view->ghosts, &ghost->entry);
}

void roster_view_end_ghost(struct roster_ghost *ghost)
{
    list_del(&ghost->entry);
    free(ghost);
}

/* The server's key was rid of it by another node. */
static void end_ghost_of(struct roster_view *view, const struct roster_entry *entry)
{
    LIST_EACH(it, &view->ghosts) {
        struct roster_ghost *ghost = LIST_ITEM(it, struct roster_ghost, entry);
        if (ghost->token == entry->token &&
            span_eq(span_of(ghost->name, ghost->len), entry->member)) {
            roster_view_end_ghost(ghost);
        }
    }
}

/* True when that is news. */
static bool take(struct roster_view *view, const struct roster_entry *entry, roster_view_fn *fn,
                 void *arg)
{
    struct view_member *member = find(view, entry->member);
    bool fresh = member == NULL;
    if (is_over(view, entry->token)) {
        add_ghost(view, entry->member, entry->token);
        if (!fresh) {
            drop(view, member, fn, arg);
        }
        return !fresh;
    }
    if (view->lease != NULL) {
        roster_lease_saw(view->lease, entry->token);
    }
    if (fresh) {
        member = insert(view, entry->member);
    }
    unhold(view, member);
    member->listed = true;
    member->token = entry->token;
    if (!fresh && span_eq(span_of(member->value, member->value_len), entry->value)) {
        return false;
    }
    free(member->value);
    member->value = mem_dup(entry->value);
    member->value_len = entry->value.len;
    struct roster_member told = member_of(member);
    fn(arg, ROSTER_SET, &told);
    return true;
}

/* A key that was made again begins where a view without living members stands. */
static bool continues(const struct roster_view *view, const struct roster_note *note)
{
    if (note->birth == view->birth) {
        return note->previous == view->version;
    }
    return note->previous == 0 && note->birth > view->birth &&
           view->members.count == view->held_count;
}

enum view_outcome roster_view_change(struct roster_view *view, const struct roster_note *note,
                                     roster_view_fn *fn, void *arg)
{
    struct span rest = note->entries;
    struct roster_entry entry;
    bool news = false;
    if (view->doubted) {
        return VIEW_SAME; /* the snapshot to come has it, or is compared with it */
    }
    if (view->whole && note->birth == view->birth && note->version <= view->version) {
        return VIEW_SAME;
    }
    if (!view->whole || !continues(view, note)) {
        return VIEW_MISSED;
    }
    view->birth = note->birth;
    view->version = note->version;
    while (roster_note_next(&rest, &entry)) {
        struct view_member *member = entry.gone ? find(view, entry.member) : NULL;
        if (!entry.gone) {
            news |= take(view, &entry, fn, arg);
            continue;
        }
        end_ghost_of(view, &entry);
        if (member != NULL) {
            drop(view, member, fn, arg);
            news = true;
        }
    }
    return news ? VIEW_CHANGED : VIEW_SAME;
}

enum view_outcome roster_view_snapshot(struct roster_view *view, const struct roster_note *note,
                                       uint64_t hold_until, roster_view_fn *fn, void *arg)
{
    bool reborn = view->whole && note->birth != view->birth;
    struct span rest = note->entries;
    struct roster_entry entry;
    bool news = false;
    bool older = view->whole && !reborn && note->version < view->version;
    bool lossy = reborn || (view->doubted && (older || view->moved));
    if (older && !lossy) {
        return VIEW_SAME;
    }
    MAP_EACH(it, &view->members) {
        MAP_ENTRY(it, struct view_member, node)->listed = false;
    }
    LIST_EACH(it, &view->ghosts) {
        roster_view_end_ghost(LIST_ITEM(it, struct roster_ghost, entry));
    }
    view->whole = true;
    view->doubted = view->moved = false;
    view->birth = note->birth;
    view->version = note->version;
    while (roster_note_next(&rest, &entry)) {
        news |= take(view, &entry, fn, arg);
    }
    MAP_EACH(it, &view->members) {
        struct view_member *member = MAP_ENTRY(it, struct view_member, node);
        if (member->listed) {
            continue;
        }
        if (lossy) {
            hold(view, member, hold_until);
        } else if (list_empty(&member->held)) {
            drop(view, member, fn, arg);
            news = true;
        }
    }
    return news ? VIEW_CHANGED : VIEW_SAME;
}

void roster_view_doubt(struct roster_view *view, bool moved)
{
    view->doubted = view->whole;
    view->moved |= moved;
}

void roster_view_rehold(struct roster_view *view, uint64_t hold_until)
{
    LIST_EACH(it, &view->held) {
        LIST_ITEM(it, struct view_member, held)->hold_until = hold_until;
    }
}

enum view_outcome roster_view_expire(struct roster_view *view, uint64_t now, roster_view_fn *fn,
                                     void *arg)
{
    bool news = false;
    while (!list_empty(&view->held)) {
        struct view_member *member = LIST_ITEM(view->held.next, struct view_member, held);
        if (member->hold_until > now) {
            break;
        }
        drop(view, member, fn, arg);
        news = true;
    }
    return news ? VIEW_CHANGED : VIEW_SAME;
}

enum view_outcome roster_view_judge(struct roster_view *view, roster_view_fn *fn, void *arg)
{
    bool news = false;
    if (!view->whole || view->doubted) {
        return VIEW_SAME;
    }
    MAP_EACH(it, &view->members) {
        struct view_member *member = MAP_ENTRY(it, struct view_member, node);
        if (list_empty(&member->held) && is_over(view, member->token)) {
            add_ghost(view, map_key(it), member->token);
            drop(view, member, fn, arg);
            news = true;
        }
    }
    return news ? VIEW_CHANGED : VIEW_SAME;
}

bool roster_view_reached(const struct roster_view *view, uint64_t birth, uint64_t version)
{
    if (birth == 0) {
        return view->whole && view->members.count == view->held_count;
    }
    return view->whole && view->birth == birth && view->version >= version;
}

bool roster_view_find(const struct roster_view *view, struct span name, struct span *value)
{
    const struct view_member *member = find(view, name);
    if (member != NULL) {
        *value = span_of(member->value, member->value_len);
    }
    return member != NULL;
}

uint64_t roster_view_token(const struct roster_view *view, struct span name)
{
    const struct view_member *member = find(view, name);
    return member != NULL ? member->token : 0;
}

void roster_view_each(const struct roster_view *view, roster_view_fn *fn, void *arg)
{
    MAP_EACH(it, &view->members) {
        struct roster_member told = member_of(MAP_ENTRY(it, struct view_member, node));
        fn(arg, ROSTER_SET, &told);
    }
}
