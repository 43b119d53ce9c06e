/* SPDX-License-Identifier: MIT */
#include "node/service/sync/session.h"

#include "node/core/log.h"
#include "node/net/work.h"
#include "node/service/sync/ranks.h"
#include "store/base/map.h"
#include "store/bus.h"
#include "store/crowd.h"
#include "store/roster/roster.h"

#include <stdio.h>
#include <stdlib.h>

/* Key of the roster and of the crowd that gets the pushes. */
#define KEY_PREFIX SPAN("sync:")

enum { SETTLED_PER_STEP = 64 }; /* seats, each of which may be heard again, or warned */

struct sync_sessions {
    struct sync_sessions_options options;
    struct map by_id;        /* struct sync_session */
    uint64_t members;        /* of all of them, here */
    struct sync_ranks ranks; /* those of which ours is the first of the nodes by name, by members */
    struct metrics_source gauges;
};

struct sync_session {
    struct map_node node;
    struct sync_sessions *all;
    struct buf key; /* KEY_PREFIX and the id */
    struct group room;
    uint32_t leaders;       /* among the members here */
    struct bus_sub *pushes; /* while there are followers here */
    struct crowd *crowd;    /* the nodes of the followers, since the first push from here */
    struct roster_watch *watch;
    struct sync_state state; /* as of the watch's view */
    struct sync_rank rank; /* in order while, of the nodes in the view, ours is the first by name */
    uint64_t
        round; /* who asked for something in one before this is counted, and told or about to be */
    struct list unsettled;   /* struct sync_seat: who asked for something, */
    struct list settling;    /* and those of them for whom it is done */
    struct net_work settles; /* tells these */
    bool listening;          /* pushes of other nodes arrive, so members here may be counted */
    bool healing; /* the view was stale, or pushes were missed: all members here are told again */
};

struct span sync_session_id(const struct sync_session *session)
{
    return span_skip(buf_span(&session->key), KEY_PREFIX.len);
}

bool sync_session_is_reached(const struct sync_session *session)
{
    return store_reaches(session->all->options.store, buf_span(&session->key));
}

static struct span own_name(const struct sync_session *session)
{
    return span_str(session->all->options.node);
}

/* ------------------------------------------------------------------------------------ the count */

/* A node's value in the roster: "players leaders" in decimal. */
struct local_count {
    unsigned players, leaders;
};

static struct local_count read_count(struct span value)
{
    struct local_count count = {0};
    char text[32] = "";
    if (value.len < sizeof(text)) {
        memcpy(text, value.ptr, value.len);
        char *end;
        count.players = (unsigned)strtoul(text, &end, 10);
        count.leaders = (unsigned)strtoul(end, NULL, 10);
    }
    return count;
}

static void claim(struct sync_session *session)
{
    char value[32];
    int len = snprintf(value, sizeof(value), "%u %u", session->room.count, session->leaders);
    roster_claim(session->all->options.store, buf_span(&session->key), own_name(session),
                 span_of(value, (size_t)len));
}

struct tally {
    const struct sync_session *session;
    struct sync_state state;
    bool first;
};

static void add_member(void *arg, const struct roster_member *member)
{
    struct tally *tally = arg;
    struct local_count count = read_count(member->value);
    tally->state.players += count.players;
    tally->state.leader_connected |= count.leaders > 0;
    tally->first &= span_compare(own_name(tally->session), member->name) <= 0;
}

/* One node of each session counts it, so that the fleet's sessions can be summed up. */
static void take_view(struct sync_session *session)
{
    struct tally tally = {.session = session, .first = true};
    roster_each(session->watch, add_member, &tally);
    session->state = tally.state;
    if (tally.first) {
        sync_ranks_put(&session->all->ranks, &session->rank, tally.state.players);
    } else {
        sync_ranks_drop(&session->all->ranks, &session->rank);
    }
}

/* The view counts exactly the members that are here now. */
static bool view_is_ours(const struct sync_session *session)
{
    struct span value;
    if (!roster_find(session->watch, own_name(session), &value)) {
        return false;
    }
    struct local_count count = read_count(value);
    return count.players == session->room.count && count.leaders == session->leaders;
}

static struct sync_seat *seat_of(struct receiver *member)
{
    return CONTAINER_OF(member, struct sync_seat, member);
}

/* Two for a group_choice as of a round: a later one says nothing of who was counted in it. */
static bool is_told(struct receiver *member, uint64_t round)
{
    return seat_of(member)->asked < round;
}

static bool is_untold(struct receiver *member, uint64_t round)
{
    return !is_told(member, round);
}

void sync_seat_init(struct sync_seat *seat)
{
    *seat = (struct sync_seat){.session = NULL};
    list_init(&seat->member.entry);
    list_init(&seat->unsettled);
}

bool sync_seat_is_told(struct sync_seat *seat)
{
    return is_told(&seat->member, seat->session->round);
}

/* What it has not got yet was for what it was until now. */
static void ask(struct sync_seat *seat)
{
    struct sync_session *session = seat->session;
    sync_session_give(seat);
    seat->asked = session->round;
    list_del(&seat->unsettled);
    list_push_back(&session->unsettled, &seat->unsettled);
}

static void tell(struct sync_session *session,
                 bool (*wants)(struct receiver *member, uint64_t round))
{
    struct group_choice whom = {wants, session->round};
    struct buf text = {0};
    buf_printf(&text, "{\"type\":\"SessionState\",\"playersCount\":%u,\"leaderConnected\":%s}",
               session->state.players, session->state.leader_connected ? "true" : "false");
    group_send_late(&session->room, buf_span(&text), whom);
    buf_free(&text);
}

/* A step of the session's work. */
static bool settle_some(struct net_work *work)
{
    struct sync_session *session = CONTAINER_OF(work, struct sync_session, settles);
    for (int left = SETTLED_PER_STEP; left > 0 && !list_empty(&session->settling); left--) {
        struct sync_seat *seat = LIST_ITEM(session->settling.next, struct sync_seat, unsettled);
        list_del(&seat->unsettled);
        sync_seat_settled(seat);
    }
    return !list_empty(&session->settling);
}

/* What the seats asked for last is done, with or without success. */
static void settle_all(struct sync_session *session, bool told)
{
    session->round += told;
    list_splice(&session->settling, &session->unsettled);
    if (settle_some(&session->settles)) {
        const struct sync_seat *next =
            LIST_ITEM(session->settling.next, struct sync_seat, unsettled);
        net_work_queue(conn_net(ws_conn(next->member.ws)), &session->settles);
    }
}

static void on_roster(void *arg, enum roster_event event, const struct roster_member *member)
{
    (void)member;
    struct sync_session *session = arg;
    switch (event) {
    case ROSTER_CHANGED:
        /* A change of the cluster: every member that it counts is told. Members that came meanwhile
         * wait for a view that counts them, so that no member is ever told of a session without
         * itself. */
        take_view(session);
        if (view_is_ours(session)) {
            tell(session, NULL);
            settle_all(session, true);
        } else {
            tell(session, is_told);
        }
        break;
    case ROSTER_CURRENT:
        if (view_is_ours(session)) {
            take_view(session);
            tell(session, session->healing ? NULL : is_untold);
            session->healing = false;
            settle_all(session, true);
        }
        break;
    case ROSTER_STALE:
        session->healing = true;
        settle_all(session, false);
        break;
    case ROSTER_SET:
    case ROSTER_GONE:
        break; /* CHANGED follows */
    }
}

/* ------------------------------------------------------------------------------------ pushes */

/* Who changes is given what was for its role before. */
static bool is_follower(struct receiver *member, uint64_t as_of)
{
    (void)as_of;
    return !seat_of(member)->leader;
}

static void deliver(struct sync_session *session, struct span message)
{
    group_send(&session->room, message, (struct group_choice){.wants = is_follower});
    metrics_add(session->all->options.metrics, METRIC_SYNC_PUSHED_BYTES,
                (uint64_t)(session->room.count - session->leaders) * message.len);
}

static void on_push(void *arg, enum bus_event event, struct span payload)
{
    struct sync_session *session = arg;
    if (event == BUS_MESSAGE) {
        deliver(session, payload);
    } else if (event == BUS_READY) {
        session->listening = true;
        claim(session);
    } else {
        session->listening = false; /* new members are counted when pushes arrive again */
        session->healing = true;
    }
}

/* A crowd_member_fn: a node with leaders only gets no pushes. */
static bool has_followers(const struct roster_member *member, struct span *node)
{
    struct local_count count = read_count(member->value);
    *node = member->name;
    return count.players > count.leaders;
}

int sync_session_push(struct sync_seat *seat, struct span message)
{
    struct sync_session *session = seat->session;
    metrics_add(session->all->options.metrics, METRIC_SYNC_PUSHES, 1);
    deliver(session, message);
    if (session->crowd == NULL) {
        session->crowd =
            crowd_open(session->all->options.store, buf_span(&session->key), has_followers);
    }
    return crowd_say(session->crowd, message);
}

/* ------------------------------------------------------------------------------------ sessions */

static struct sync_session *session_new(struct sync_sessions *all, struct span id)
{
    struct sync_session *session = mem_zalloc(sizeof(*session));
    session->all = all;
    buf_append(&session->key, KEY_PREFIX);
    buf_append(&session->key, id);
    group_init(&session->room, all->options.metrics);
    session->round = 1;
    list_init(&session->unsettled);
    list_init(&session->settling);
    net_work_init(&session->settles, settle_some);
    sync_rank_init(&session->rank);
    map_insert(&all->by_id, &session->node, sync_session_id(session));
    session->watch = roster_watch(all->options.store, buf_span(&session->key), on_roster, session);
    return session;
}

static void session_free(struct sync_session *session)
{
    struct sync_sessions *all = session->all;
    roster_release(all->options.store, buf_span(&session->key), own_name(session));
    net_work_cancel(&session->settles);
    roster_unwatch(&session->watch);
    bus_unsubscribe(&session->pushes);
    crowd_close(&session->crowd);
    sync_ranks_drop(&all->ranks, &session->rank);
    map_remove(&all->by_id, &session->node);
    buf_free(&session->key);
    free(session);
}

/* The members here changed. They are counted once pushes arrive for the followers: a member that
 * was told of a session misses none of its pushes. */
static void recount(struct sync_session *session)
{
    if (session->room.count == 0) {
        session_free(session);
        return;
    }
    bool followed = session->room.count > session->leaders;
    if (followed && session->pushes == NULL) {
        session->listening = false;
        session->pushes =
            bus_attend(session->all->options.store, buf_span(&session->key), on_push, session);
    } else if (!followed) {
        bus_unsubscribe(&session->pushes);
    }
    if (session->pushes == NULL || session->listening) {
        claim(session);
    }
}

void sync_session_join(struct sync_sessions *sessions, struct span id, struct sync_seat *seat,
                       struct ws *ws, bool leader)
{
    struct map_node *node = map_find(&sessions->by_id, id);
    struct sync_session *session =
        node != NULL ? MAP_ENTRY(node, struct sync_session, node) : session_new(sessions, id);
    seat->session = session;
    seat->leader = leader;
    session->leaders += leader ? 1 : 0;
    group_add(&session->room, &seat->member, ws);
    ask(seat);
    sessions->members++;
    recount(session);
}

void sync_session_give(struct sync_seat *seat)
{
    if (seat->session != NULL) {
        group_give(&seat->session->room, &seat->member);
    }
}

void sync_session_set_role(struct sync_seat *seat, bool leader)
{
    struct sync_session *session = seat->session;
    ask(seat);
    if (seat->leader != leader) {
        seat->leader = leader;
        session->leaders += leader ? 1 : (uint32_t)-1;
    }
    recount(session);
}

void sync_session_leave(struct sync_seat *seat)
{
    struct sync_session *session = seat->session;
    if (session == NULL) {
        return;
    }
    list_del(&seat->unsettled);
    seat->session = NULL;
    session->leaders -= seat->leader ? 1 : 0;
    group_remove(&session->room, &seat->member);
    session->all->members--;
    recount(session);
}

size_t sync_sessions_busiest(struct sync_sessions *sessions, struct sync_busy *out, size_t most,
                             size_t *count)
{
    struct sync_rank *first[SYNC_BUSIEST_MOST];
    size_t found = sync_ranks_first(&sessions->ranks, first,
                                    most < SYNC_BUSIEST_MOST ? most : SYNC_BUSIEST_MOST);
    for (size_t i = 0; i < found; i++) {
        const struct sync_session *session = CONTAINER_OF(first[i], struct sync_session, rank);
        out[i] =
            (struct sync_busy){session, session->state, (uint32_t)roster_count(session->watch)};
    }
    *count = sessions->ranks.count;
    return found;
}

static void count_gauges(void *arg, struct metrics *metrics)
{
    const struct sync_sessions *sessions = arg;
    metrics_set(metrics, METRIC_SYNC_SESSIONS, sessions->by_id.count);
    metrics_set(metrics, METRIC_SYNC_SESSIONS_FIRST, sessions->ranks.count);
    metrics_set(metrics, METRIC_SYNC_MEMBERS, sessions->members);
}

struct sync_sessions *sync_sessions_new(const struct sync_sessions_options *options)
{
    struct sync_sessions *sessions = mem_zalloc(sizeof(*sessions));
    sessions->options = *options;
    map_init(&sessions->by_id);
    sync_ranks_init(&sessions->ranks);
    metrics_source_add(options->metrics, &sessions->gauges, count_gauges, sessions);
    return sessions;
}

void sync_sessions_free(struct sync_sessions **sessions)
{
    if (*sessions != NULL) {
        metrics_source_remove((*sessions)->options.metrics, &(*sessions)->gauges);
        map_deinit(&(*sessions)->by_id);
        free(*sessions);
        *sessions = NULL;
    }
}
