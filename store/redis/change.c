/* SPDX-License-Identifier: MIT */
#include "store/redis/change.h"

#include "store/base/clock.h"
#include "store/base/timer.h"
#include "store/redis/mover.h"
#include "store/redis/moves.h"
#include "store/store_impl.h"

enum {
    CHANGE_TICK_MS = 500,
    CHANGE_MOVING_MS = 100, /* while partitions move */
    CHANGE_REST_MS = 1000,
};

struct change_server {
    struct redis_change *change;
    struct redis_route route; /* past the fence */
    bool up;                  /* its link is */
    bool told;                /* and the store knows */
    char *text;               /* what the link said, for the store; NULL: it is told */
    uint64_t up_at,
        heard_at; /* when the link came up; when the last question was asked that was answered */
    uint64_t asked_at;
    bool asking, again; /* a question is under way; another one is wanted behind it */
    bool telling;       /* it is told what came to it */
    struct shard_set coming;
    struct redis_moves moves; /* as it said last */
};

/* "when" is counted in questions and links, not in time. */
struct redis_change {
    struct store *store;
    struct backend *backend;
    const struct redis_url *url;
    struct change_server *servers;
    uint8_t before[PARTITIONS], after[PARTITIONS];
    struct shard_set moved;
    uint64_t count;
    struct event *tick;
    uint64_t rest_ms;          /* it begins nothing before that: the last attempt was in vain */
    struct redis_mover *mover; /* NULL: this node moves nothing just now */
    struct redis_route_moves moves;
};

static struct change_server *old_home(const struct redis_change *change, unsigned partition)
{
    return &change->servers[change->before[partition]];
}

static bool changes(const struct redis_change *change, unsigned partition)
{
    return change->before[partition] != change->after[partition];
}

static bool is_waiting(const struct redis_change *change, unsigned partition)
{
    return changes(change, partition) && !shard_set_has(&change->moved, partition);
}

void redis_change_share_out(const struct redis_url *url, bool after, uint8_t owner[PARTITIONS])
{
    for (unsigned p = 0; p < PARTITIONS; p++) {
        uint64_t most = 0;
        for (size_t i = 0; i < url->count; i++) {
            const struct redis_server *server = &url->servers[i];
            uint64_t weight = partition_weight(p, span_str(server->name));
            bool listed = after ? server->after : server->before;
            if (listed && weight > most) {
                owner[p] = (uint8_t)i;
                most = weight;
            }
        }
    }
}

/* -------------------------------------------------------------------------------- how far it is */

/* Has all that leaves the server left it, and is that deleted? */
static bool is_done(const struct redis_change *change, unsigned shard)
{
    const struct redis_moves *moves = &change->servers[shard].moves;
    bool some = false;
    for (unsigned p = 0; p < PARTITIONS; p++) {
        if (change->before[p] == shard && is_waiting(change, p)) {
            return false;
        }
        some |= change->before[p] == shard && changes(change, p);
    }
    return !some || moves->phase == MOVES_AFTER || moves->swept;
}

static void note_progress(struct redis_change *change)
{
    struct store_change *noted = &change->store->change;
    bool moving = true;
    noted->waiting = 0;
    noted->done = noted->over = true;
    for (unsigned p = 0; p < PARTITIONS; p++) {
        noted->waiting += is_waiting(change, p);
    }
    for (unsigned i = 0; i < change->backend->shards; i++) {
        const struct change_server *server = &change->servers[i];
        bool begun = server->moves.phase >= MOVES_MOVING;
        noted->done = noted->done && is_done(change, i);
        noted->over = noted->over && server->moves.phase == MOVES_AFTER;
        moving = moving && begun;
        if (begun) {
            shard_set_add(&noted->begun, i);
        }
    }
    noted->moving = moving;
}

/* The owners as they are known now. */
static void apply(struct redis_change *change)
{
    unsigned news = 0;
    for (unsigned p = 0; p < PARTITIONS; p++) {
        uint8_t owner = is_waiting(change, p) ? change->before[p] : change->after[p];
        news += change->backend->owner[p] != owner;
        change->backend->owner[p] = owner;
    }
    const struct shard_set begun = change->store->change.begun;
    note_progress(change);
    bool begins = memcmp(&begun, &change->store->change.begun, sizeof(begun)) != 0;
    if (news > 0 || begins) {
        change->store->stats.moves += news;
        store_on_owner(change->store);
    }
}

/* ---------------------------------------------------------------------------------- links go up */

/* Those that it gives partitions to were heard after its link came up. */
static const struct change_server *unheard(const struct redis_change *change,
                                           const struct change_server *server)
{
    if (server->heard_at < server->up_at) {
        return server;
    }
    for (unsigned p = 0; p < PARTITIONS && server->moves.phase == MOVES_MOVING; p++) {
        const struct change_server *to = &change->servers[change->after[p]];
        if (old_home(change, p) == server && is_waiting(change, p) &&
            to->heard_at < server->up_at) {
            return to;
        }
    }
    return NULL;
}

static void consider_up(struct redis_change *change)
{
    for (unsigned i = 0; i < change->backend->shards; i++) {
        struct change_server *server = &change->servers[i];
        if (!server->up || server->told) {
            continue;
        }
        const struct change_server *other = unheard(change, server);
        if (other != NULL && other != server) {
            struct buf text = {0};
            buf_printf(&text, "%s: partitions move, and %s has not said which it has",
                       change->url->servers[i].name, change->url->servers[other->route.shard].name);
            store_note_trouble(change->store, i, buf_text(&text));
            buf_free(&text);
        } else if (other == NULL) {
            struct shard_set only = shard_set_one(i);
            char *text = server->text;
            server->told = true;
            server->text = NULL;
            store_on_link(change->store, &only, true, text);
            free(text);
        }
    }
}

/* -------------------------------------------------------------------------------------- questions */

static void ask(struct change_server *server);

static void on_here(void *arg, enum backend_answer answer, struct span reply)
{
    struct change_server *server = arg;
    struct redis_change *change = server->change;
    server->telling = false;
    if (answer == BACKEND_OK && reply.len > 0) {
        for (unsigned p = 0; p < PARTITIONS; p++) {
            if (shard_set_has(&server->coming, p)) {
                shard_set_add(&change->moved, p);
            }
        }
        apply(change);
        consider_up(change);
    }
}

/* The new servers hear of what has left `from` before anybody uses it there. */
static void tell_new(struct redis_change *change, const struct change_server *from)
{
    for (unsigned i = 0; i < change->backend->shards; i++) {
        struct change_server *server = &change->servers[i];
        struct redis_script call;
        bool some = false;
        if (server->telling || !server->up) {
            continue;
        }
        server->coming = (struct shard_set){{0}};
        for (unsigned p = 0; p < PARTITIONS; p++) {
            if (change->after[p] == i && is_waiting(change, p) && old_home(change, p) == from &&
                shard_set_has(&from->moves.gone, p)) {
                shard_set_add(&server->coming, p);
                some = true;
            }
        }
        if (some) {
            redis_moves_begin(&call, change->store, "here", span_of(NULL, 0), &server->coming);
            server->telling = redis_script_run(&call, &server->route, on_here, server) == 0;
        }
    }
}

static void take_moves(struct redis_change *change, struct change_server *server)
{
    const struct redis_moves *moves = &server->moves;
    for (unsigned p = 0; p < PARTITIONS; p++) {
        bool left = old_home(change, p) == server && moves->phase == MOVES_AFTER;
        bool came = change->after[p] == server->route.shard && shard_set_has(&moves->here, p);
        if (changes(change, p) && (left || came)) {
            shard_set_add(&change->moved, p);
        }
    }
    tell_new(change, server);
    apply(change);
    consider_up(change);
}

static void on_asked(void *arg, enum backend_answer answer, struct span reply)
{
    struct change_server *server = arg;
    struct redis_moves moves;
    bool again = server->again;
    server->asking = server->again = false;
    if (answer == BACKEND_OK && redis_moves_read(reply, &moves) == 0) {
        server->moves = moves;
        server->heard_at = server->asked_at;
        take_moves(server->change, server);
    }
    if (again) {
        ask(server);
    }
}

static void ask(struct change_server *server)
{
    struct redis_change *change = server->change;
    const struct shard_set none = {{0}};
    struct redis_script call;
    if (!server->up || server->asking) {
        server->again = server->asking;
        return;
    }
    redis_moves_begin(&call, change->store, "?", span_of(NULL, 0), &none);
    server->asked_at = ++change->count;
    server->asking = redis_script_run(&call, &server->route, on_asked, server) == 0;
}

static void on_gone(void *arg, unsigned shard)
{
    struct redis_change *change = arg;
    ask(&change->servers[shard]);
}

/* ------------------------------------------------------------------------------------ moving */

static bool may_move(const struct change_server *server)
{
    return server->told && server->moves.phase == MOVES_MOVING;
}

/* Has nothing left to give away? */
static bool is_empty(const struct redis_change *change, unsigned from)
{
    unsigned p = 0;
    while (p < PARTITIONS && !(change->before[p] == from && is_waiting(change, p))) {
        p++;
    }
    return p == PARTITIONS;
}

/* Some partitions of one server that go to the same one; false: there are none. */
static bool choose(const struct redis_change *change, unsigned from, struct redis_mover_plan *plan)
{
    unsigned count = 0;
    plan->partitions = (struct shard_set){{0}};
    for (unsigned p = 0; p < PARTITIONS && count < MOVER_BATCH; p++) {
        const struct change_server *to = &change->servers[change->after[p]];
        bool fits = count == 0 || &to->route == plan->to;
        if (is_waiting(change, p) && change->before[p] == from && fits && may_move(to) &&
            !shard_set_has(&change->servers[from].moves.gone, p)) {
            plan->to = &to->route;
            shard_set_add(&plan->partitions, p);
            count++;
        }
    }
    return count > 0;
}

static void on_moved(void *arg, bool done)
{
    struct redis_change *change = arg;
    redis_mover_free(&change->mover);
    change->rest_ms = done ? 0 : clock_monotonic_ms() + CHANGE_REST_MS;
    for (unsigned i = 0; i < change->backend->shards; i++) {
        ask(&change->servers[i]);
    }
}

static void consider_moving(struct redis_change *change)
{
    for (unsigned i = 0; i < change->backend->shards && change->mover == NULL; i++) {
        struct change_server *from = &change->servers[i];
        struct redis_mover_plan plan = {.from = &from->route};
        if (!may_move(from) || from->moves.busy || is_done(change, i)) {
            continue;
        }
        if (choose(change, i, &plan) || is_empty(change, i)) { /* then what has left is deleted */
            change->mover = redis_mover_new(change->store, &plan, on_moved, change);
        }
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct redis_change *change = arg;
    struct store *store = change->store;
    (void)fd, (void)what;
    store_enter(store);
    for (unsigned i = 0; i < change->backend->shards; i++) {
        ask(&change->servers[i]);
    }
    bool idle = change->mover == NULL && clock_monotonic_ms() >= change->rest_ms;
    if (!store->visitor && !store->releasing && idle) {
        consider_moving(change);
    }
    bool moving = store->change.moving && !store->change.done;
    timer_after(change->tick, moving ? CHANGE_MOVING_MS : CHANGE_TICK_MS);
    store_leave(store);
}

/* ------------------------------------------------------------------------------- what links tell */

static void on_link(void *arg, bool up, const char *text)
{
    struct change_server *server = arg;
    struct redis_change *change = server->change;
    struct shard_set only = shard_set_one(server->route.shard);
    free(server->text);
    server->text = NULL;
    server->up = up;
    server->told = false;
    if (!up) {
        if (change->mover != NULL) {
            redis_mover_let_go(change->mover, server->route.shard);
        }
        store_on_link(change->store, &only, false, text);
        return;
    }
    server->text = mem_dup(span_str(text));
    server->up_at = ++change->count;
    for (unsigned i = 0; i < change->backend->shards; i++) {
        ask(&change->servers[i]);
    }
}

static void on_other_server(void *arg)
{
    const struct change_server *server = arg;
    store_on_moved(server->change->store, server->route.shard);
}

static void on_proof(void *arg, uint64_t asked_us)
{
    const struct change_server *server = arg;
    struct shard_set only = shard_set_one(server->route.shard);
    store_on_proof(server->change->store, &only, asked_us);
}

static unsigned list_rolls(void *arg, unsigned *shards)
{
    shards[0] = ((const struct change_server *)arg)->route.shard;
    return 1;
}

/* An inbox stays where it is, but its name may go to another one. */
static bool has(void *arg, struct span channel)
{
    const struct change_server *server = arg;
    unsigned shard = server->route.shard;
    int partition = partition_of_channel(channel);
    return partition < 0 ? bus_is_heard_at(server->change->store, channel, shard)
                         : server->change->backend->owner[partition] == shard;
}

/* ------------------------------------------------------------------------------------------ life */

static void note_change(struct redis_change *change)
{
    struct store_change *noted = &change->store->change;
    noted->before = change->url->before;
    noted->after = change->url->after;
    noted->owner_before = change->before;
    noted->owner_after = change->after;
    for (unsigned i = 0; i < change->backend->shards; i++) {
        if (change->url->servers[i].before) {
            shard_set_add(&noted->was, i);
        }
    }
    for (unsigned p = 0; p < PARTITIONS; p++) {
        noted->all += changes(change, p);
    }
    noted->waiting = noted->all;
}

struct redis_change *redis_change_new(struct backend *backend, struct redis_route *routes,
                                      const struct redis_url *url,
                                      const struct redis_tls_files *files,
                                      struct resolver *resolver)
{
    static const struct redis_link_events events = {
        on_link, on_other_server, on_proof, list_rolls, has, NULL};
    struct redis_change *change = mem_zalloc(sizeof(*change));
    change->store = backend->store;
    change->backend = backend;
    change->url = url;
    change->moves = (struct redis_route_moves){.routes = routes, .gone = on_gone, .arg = change};
    list_init(&change->moves.calls);
    redis_change_share_out(url, false, change->before);
    redis_change_share_out(url, true, change->after);
    memcpy(backend->owner, change->before, sizeof(change->before));
    note_change(change);
    change->servers = mem_zalloc(backend->shards * sizeof(*change->servers));
    for (unsigned i = 0; i < backend->shards; i++) {
        struct change_server *server = &change->servers[i];
        server->change = change;
        server->route = (struct redis_route){.store = backend->store, .shard = i};
        server->route.link =
            redis_link_new(backend->store, &events, server, &url->servers[i], files, resolver);
        routes[i] = server->route;
        routes[i].moves = &change->moves;
    }
    change->tick = evtimer_new(backend->store->base, on_tick, change);
    timer_after(change->tick, CHANGE_TICK_MS);
    return change;
}

void redis_change_free(struct redis_change **change)
{
    struct redis_change *gone = *change;
    if (gone == NULL) {
        return;
    }
    *change = NULL;
    for (unsigned i = 0; i < gone->backend->shards; i++) {
        gone->servers[i].up = false;
    }
    for (unsigned i = 0; i < gone->backend->shards; i++) {
        redis_link_free(&gone->servers[i].route.link);
    }
    redis_mover_free(&gone->mover);
    redis_route_end_calls(&gone->moves.calls);
    for (unsigned i = 0; i < gone->backend->shards; i++) {
        free(gone->servers[i].text);
    }
    event_free(gone->tick);
    free(gone->servers);
    free(gone);
}
