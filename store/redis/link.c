/* SPDX-License-Identifier: MIT */
#include "store/redis/link_impl.h"

#include "store/base/clock.h"
#include "store/base/timer.h"
#include "store/redis/greeting.h"
#include "store/redis/pace.h"
#include "store/redis/push.h"
#include "store/redis/reply.h"
#include "store/redis/roll.h"
#include "store/redis/scripts.h"
#include "store/redis/sentinel.h"

enum {
    REDIS_LINK_QUEUE_MOST = 16 * 1024 * 1024, /* bytes not yet taken by the kernel */
    COMPLAINT_PAUSE_MS = 1000,
};

static void report(struct redis_link *link, bool up, const char *text)
{
    struct buf line = {0};
    const struct redis_endpoint *at = redis_find_endpoint(link->find);
    buf_printf(&line, "redis %s port %u: %s", at->host, at->port, text);
    link->events->link(link->arg, up, buf_text(&line));
    buf_free(&line);
}

static void drop(struct redis_link *link)
{
    if (link->follow != NULL) {
        redis_follow_stop(link->follow);
    }
    redis_find_stop(link->find);
    redis_hush_forget(&link->hush);
    redis_conn_free(&link->command);
    redis_conn_free(&link->subscriber);
    if (link->wait != NULL) {
        redis_wait_hang_up(link->wait);
    }
    event_del(link->beat);
    event_del(link->timer);
    redis_proof_forget(&link->proof);
    link->greeted = link->called = link->connected = link->described = false;
    link->rolls = 0;
}

/* The one way down. `text` may belong to what goes now. */
static void fail(struct redis_link *link, const char *text)
{
    if (link->state == LINK_WAITING) {
        return;
    }
    struct buf kept = {0};
    buf_append(&kept, span_str(text));
    if (link->events->cluster == NULL && strncmp(text, "MOVED ", 6) == 0) {
        buf_append(&kept, SPAN(": the server is one of a Redis Cluster, whose URL begins with "
                               "redis+cluster://"));
    }
    link->state = LINK_WAITING;
    report(link, false, buf_text(&kept));
    buf_free(&kept);
    drop(link);
    timer_after(link->timer, backoff_next(&link->backoff));
}

void redis_link_again(struct redis_link *link, const char *why)
{
    fail(link, why);
}

/* An error that the link survives, told at most once a second. */
static void complain(struct redis_link *link, const char *text)
{
    uint64_t now = clock_monotonic_us();
    if (now - link->complained_us >= COMPLAINT_PAUSE_MS * 1000U && link->state == LINK_UP) {
        link->complained_us = now;
        store_on_trouble(link->store, text);
    }
}

bool redis_link_check(struct redis_link *link, const redisReply *reply)
{
    if (reply == NULL) {
        return false;
    }
    link->answered_us = clock_monotonic_us();
    if (reply->type != REDIS_REPLY_ERROR) {
        return true;
    }
    if (redis_link_is_redirected(link, reply->str)) {
        return false;
    }
    if (redis_error_is_fatal(reply->str)) {
        fail(link, reply->str);
    } else if (strncmp(reply->str, "WIRE ", 5) == 0) {
        store_on_unread(link->store, WIRE_KEY, reply->str);
    } else if (strncmp(reply->str, "NOSCRIPT", 8) != 0 && !redis_error_is_fence(reply->str)) {
        complain(link, reply->str);
    }
    return false;
}

static void on_greeting(void *arg, const redisReply *reply)
{
    if (reply != NULL && redis_greeting_refused(reply)) {
        fail(arg, reply->str);
    }
}

static void on_spoken(void *arg, const redisReply *reply)
{
    struct redis_link *link = arg;
    if (redis_link_check(link, reply)) {
        redis_proof_spoken(&link->proof, link->answered_us);
    }
}

static void send_proof(struct redis_link *link);

static void prove_when_greeted(struct redis_link *link)
{
    if (link->state == LINK_CONNECTING && link->greeted && link->proof.hearing) {
        link->state = LINK_PROVING;
        link->beat_us = clock_monotonic_us();
        send_proof(link);
    }
}

/* Publishing at a replica does not reach the other nodes. */
static void on_role(void *arg, const redisReply *reply)
{
    struct redis_link *link = arg;
    if (reply == NULL) {
        return;
    }
    link->answered_us = clock_monotonic_us();
    if (reply->type == REDIS_REPLY_ERROR && redis_error_is_fatal(reply->str)) {
        fail(link, reply->str);
    } else if (redis_role_is_replica(reply)) {
        fail(link, "READONLY: the server is a replica");
    } else {
        link->described = true;
        redis_link_welcome(link);
    }
}

/* ------------------------------------------------------------------------------------ the roll */

/* The last roll that was asked has answered, or said that another server has it by now; and the server has said
 * in which history it is: where it has no roll, the proof may be back before that. */
static void end_rolls(struct redis_link *link)
{
    const struct redis_link_cluster *cluster = link->events->cluster;
    if (link->rolls == 0 && link->described &&
        (cluster == NULL || cluster->is_welcome(link->arg))) {
        link->greeted = true;
        prove_when_greeted(link);
    }
}

void redis_link_welcome(struct redis_link *link)
{
    if (link->state == LINK_CONNECTING && link->called) {
        end_rolls(link);
    }
}

/* True where the fleet says what this node can do as well. */
static bool take_list(struct redis_link *link, const struct redis_roll *roll)
{
    const struct redis_link_cluster *cluster = link->events->cluster;
    bool plain = cluster != NULL && cluster->is_sharded(link->arg) &&
                 span_eq(roll->list, SPAN(REDIS_LIST_PLAIN));
    if (plain) {
        cluster->go_plain(link->arg, true);
        fail(link, "the fleet uses channels that every server hears: so does this node");
    }
    return plain;
}

struct roll_call {
    struct redis_link *link;
    unsigned shard;
    enum roll_verb verb;
    unsigned said; /* that this node writes */
    uint64_t asked_us;
};

static void take_roll(const struct roll_call *call, struct span answer)
{
    struct redis_link *link = call->link;
    struct redis_roll roll;
    struct buf refusal = {0};
    enum roll_answer welcome = redis_roll_read(answer, &roll);
    if (welcome == ROLL_OTHER_LIST && take_list(link, &roll)) {
        return;
    }
    if (call->verb == ROLL_BE_IN) { /* the others leave no words there */
        store_on_said(link->store, call->shard, call->said);
    }
    bool in = redis_roll_take(&roll, welcome, link->greeted, link->store, call->shard, &refusal);
    if (!in) {
        fail(link, buf_text(&refusal));
    }
    buf_free(&refusal);
    if (!in) {
        return;
    }
    if (link->events->cluster != NULL) {
        link->events->cluster->welcomed(link->arg);
    }
    end_rolls(link);
}

static void send_roll(const struct roll_call *call, bool by_text);

static void on_roll(void *arg, const redisReply *reply)
{
    struct roll_call call = *(struct roll_call *)arg;
    struct redis_link *link = call.link;
    bool error = reply != NULL && reply->type == REDIS_REPLY_ERROR;
    free(arg);
    if (reply == NULL) {
        return;
    }
    link->rolls--;
    if (error && strncmp(reply->str, "NOSCRIPT", 8) == 0) {
        send_roll(&call, true);
    } else if (error && redis_link_is_redirected(link, reply->str)) {
        end_rolls(link);
    } else if (error) {
        fail(link, reply->str);
    } else {
        link->rolled_us = call.asked_us;
        take_roll(&call, redis_reply_text(reply));
    }
}

static void send_roll(const struct roll_call *call, bool by_text)
{
    struct redis_script script;
    struct roll_call *kept = mem_alloc(sizeof(*kept));
    *kept = *call;
    kept->said = store_wire_on_rolls(call->link->store);
    redis_roll_begin(&script, call->link->store, call->shard, call->verb);
    call->link->rolls++;
    redis_script_send(&script, call->link->command, by_text, on_roll, kept);
}

static void send_rolls(struct redis_link *link, enum roll_verb verb)
{
    unsigned shards[REDIS_LINK_ROLLS];
    unsigned count = link->events->rolls(link->arg, shards);
    for (unsigned i = 0; i < count; i++) {
        send_roll(&(struct roll_call){link, shards[i], verb, 0, clock_monotonic_us()}, false);
    }
    link->called = true;
}

static void call_rolls(struct redis_link *link)
{
    bool only_asks = link->store->visitor || link->store->releasing;
    send_rolls(link, only_asks ? ROLL_ASK : ROLL_BE_IN);
}

/* Once the command connection is there; in a cluster the roll keeps by which channels the fleet speaks,
 * so this node must know first by which it can. */
static void begin_rolls(struct redis_link *link)
{
    bool knows = link->events->cluster == NULL || link->proof.hearing;
    if (link->connected && knows && !link->called) {
        call_rolls(link);
        end_rolls(link);
    }
}

void redis_link_leave(struct redis_link *link)
{
    if (link->state == LINK_UP) {
        send_rolls(link, ROLL_LEAVE);
    }
}

/* ------------------------------------------------------------------------------------ greeting */

static void on_info(void *arg, const redisReply *reply)
{
    struct redis_link *link = arg;
    if (reply == NULL) {
        return;
    }
    if (reply->type == REDIS_REPLY_ERROR && redis_error_is_fatal(reply->str)) {
        fail(link, reply->str);
        return;
    }
    redis_role_take(&link->role, reply);
}

struct span redis_link_publish_word(const struct redis_link *link)
{
    return redis_link_is_sharded(link, 0) ? SPAN("SPUBLISH") : SPAN("PUBLISH");
}

static void send_proof(struct redis_link *link)
{
    redis_proof_send(&link->proof, link->command, redis_link_is_sharded(link, link->proof.tag),
                     on_spoken, link);
}

static void ask_for_proof(struct redis_link *link)
{
    redis_proof_listen(&link->proof, link->subscriber,
                       redis_link_is_sharded(link, link->proof.tag));
}

static void name_proof(struct redis_link *link)
{
    const struct redis_link_cluster *cluster = link->events->cluster;
    redis_proof_name(&link->proof, link->store, cluster != NULL ? cluster->tag(link->arg) : -1);
}

/* In a cluster the proof's own slot may have moved away. */
static void keep_proof(struct redis_link *link)
{
    const struct redis_link_cluster *cluster = link->events->cluster;
    if (redis_link_is_sharded(link, link->proof.tag) &&
        !cluster->has(link->arg, (unsigned)link->proof.tag)) {
        name_proof(link);
        ask_for_proof(link);
    }
}

static void on_lost(void *arg, const char *text)
{
    fail(arg, text);
}

static void on_connected(void *arg, struct redis_conn *conn)
{
    struct redis_link *link = arg;
    redis_greeting_send(conn, link->server, link->store->node, on_greeting, link);
    if (conn == link->subscriber) {
        ask_for_proof(link);
    } else {
        redis_greeting_load(conn, link->events->cluster == NULL, on_greeting, link);
        redis_role_ask(link->command, on_info, on_role, link);
        if (link->events->cluster == NULL) {
            redis_hush_begin(&link->hush, conn, span_str(link->store->prefix), on_lost, link);
        }
        link->connected = true;
        begin_rolls(link);
    }
}

/* Tells when it is not the same as before. */
static void note_server(struct redis_link *link)
{
    const struct redis_endpoint *at = redis_find_endpoint(link->find);
    struct buf now = {0};
    buf_printf(&now, "%s %u", at->host, at->port);
    if (link->last != NULL && strcmp(link->last, buf_text(&now)) != 0) {
        link->events->moved(link->arg);
    }
    free(link->last);
    link->last = mem_dup(buf_span(&now));
    buf_free(&now);
}

/* With what may be wrong there, which is no reason not to use it. */
static void report_up(struct redis_link *link)
{
    struct buf text = {0};
    buf_append(&text, SPAN("connected"));
    if (link->role.followers < link->store->replicas) {
        buf_printf(&text,
                   "; %u replicas follow it, and store-replicas wants %u: nothing will be "
                   "accepted",
                   link->role.followers, link->store->replicas);
    } else if (link->role.unguarded && link->follow != NULL) {
        /* redis.io/docs/management/sentinel: a fail-over may lose what no replica has. */
        buf_append(&text, SPAN("; min-replicas-to-write is not set there: a fail-over may lose the "
                               "last writes"));
    }
    report(link, true, buf_text(&text));
    buf_free(&text);
}

static void go_up(struct redis_link *link)
{
    event_del(link->timer);
    link->state = LINK_UP;
    link->up_us = link->proof.proved_us;
    link->store->stats.reconnects += link->last != NULL;
    note_server(link);
    timer_after(link->beat, redis_pace_beat_ms(link->store));
    report_up(link);
}

static void on_proof(struct redis_link *link, struct span text)
{
    const struct store_observer *observer = &link->store->observer;
    uint64_t sent = redis_proof_back(&link->proof, text);
    if (observer->bus_lag != NULL && !link->store->closing) {
        observer->bus_lag(observer->arg, (double)(link->proof.proved_us - sent) / 1e6);
    }
    if (link->state == LINK_PROVING) {
        go_up(link);
    }
    link->events->proof(link->arg, sent);
}

static void on_push(void *arg, const redisReply *reply)
{
    struct redis_link *link = arg;
    struct span proof = {NULL, 0};
    switch (redis_link_hear(link, reply, &proof)) {
    case HEARD_PROOF:
        on_proof(link, proof);
        break;
    case HEARD_PROOF_ON:
        begin_rolls(link);
        prove_when_greeted(link);
        break;
    case HEARD_PROOF_GAVE_UP:
        keep_proof(link);
        break;
    case HEARD_ERROR:
        fail(link, reply->str);
        break;
    case HEARD_NOTHING:
        break;
    }
}

static void on_found(void *arg, const struct redis_dial *dial, const char *text)
{
    static const struct redis_conn_events events = {on_connected, on_push, on_lost};
    struct redis_link *link = arg;
    char error[256];
    if (dial == NULL) {
        fail(link, text);
        return;
    }
    timer_after(link->timer, redis_pace_connect_ms(link->store, link->server));
    link->command = redis_conn_new(dial, &events, link, error, sizeof(error));
    if (link->command != NULL) {
        link->subscriber = redis_conn_new(dial, &events, link, error, sizeof(error));
    }
    if (link->subscriber == NULL ||
        (link->wait != NULL && redis_wait_dial(link->wait, dial, error, sizeof(error)) < 0)) {
        fail(link, error);
    }
}

static void start(struct redis_link *link)
{
    name_proof(link);
    link->state = LINK_CONNECTING;
    uint64_t sentinels = link->server->master != NULL ? link->server->count : 0;
    timer_after(link->timer,
                redis_pace_connect_ms(link->store, link->server) + sentinels * SENTINEL_MS);
    redis_find_start(link->find, link->tries++);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct redis_link *link = arg;
    struct store *store = link->store;
    (void)fd, (void)what;
    store_enter(store);
    if (link->state == LINK_WAITING) {
        start(link);
    } else if (link->state == LINK_PROVING) {
        fail(link, "a message published to it does not come back");
    } else {
        fail(link, "no answer in time");
    }
    store_leave(store);
}

/* A proof whose channel is not confirmed yet says nothing. */
static void prove_again(struct redis_link *link)
{
    link->beat_us = clock_monotonic_us();
    if (link->proof.hearing) {
        send_proof(link);
    }
}

/* What is said once a beat goes in one write, since each one wakes the server. */
static void pulse(struct redis_link *link)
{
    unsigned tables[REDIS_LINK_ROLLS];
    unsigned count = link->events->rolls(link->arg, tables);
    for (unsigned i = 0; i < count; i++) {
        store_on_pulse(link->store, tables[i]);
    }
}

/* A beat that comes late itself judges nothing: this process stood still, not the server. */
static void on_beat(evutil_socket_t fd, short what, void *arg)
{
    struct redis_link *link = arg;
    struct store *store = link->store;
    uint64_t now = clock_monotonic_us();
    (void)fd, (void)what;
    store_enter(store);
    bool late = now - link->beat_us > redis_pace_late_us(link->store);
    if (late) {
        link->answered_us = now;
        redis_proof_excuse(&link->proof, now);
    }
    if (!redis_proof_holds(&link->proof, redis_pace_proof_us(link->store), now)) {
        fail(link, "a message published to it does not come back in time");
    } else if (now - link->answered_us > redis_pace_proof_us(link->store)) {
        fail(link, "it does not answer in time");
    } else if (!link->proof.hearing &&
               now - link->proof.asked_us > redis_pace_proof_us(link->store)) {
        fail(link, "it does not answer to SSUBSCRIBE");
    } else {
        if (now - link->up_us > redis_pace_proof_us(link->store)) {
            backoff_reset(&link->backoff);
        }
        redis_role_ask(link->command, on_info, on_role, link);
        call_rolls(link);
        pulse(link);
        keep_proof(link);
        prove_again(link);
        if (link->follow != NULL) {
            redis_follow_beat(link->follow, redis_find_endpoint(link->find));
        }
        timer_after(link->beat, redis_pace_beat_ms(link->store));
    }
    store_leave(store);
}

static void on_wait_trouble(void *arg, const char *text)
{
    complain(arg, text);
}

static int on_wait_tag(void *arg)
{
    struct redis_link *link = arg;
    const struct redis_link_cluster *cluster = link->events->cluster;
    return cluster != NULL ? cluster->tag(link->arg) : -1;
}

static void on_other_master(void *arg)
{
    fail(arg, "the sentinels name another master");
}

struct redis_link *redis_link_new(struct store *store, const struct redis_link_events *events,
                                  void *arg, const struct redis_server *server,
                                  const struct redis_tls_files *files, struct resolver *resolver)
{
    static const struct redis_wait_events wait_events = {on_lost, on_wait_trouble, on_wait_tag};
    struct redis_link *link = mem_zalloc(sizeof(*link));
    link->store = store;
    link->events = events;
    link->arg = arg;
    link->server = server;
    link->find = redis_find_new(store, resolver, server, files, on_found, link);
    if (server->master != NULL) {
        link->follow = redis_follow_new(store, resolver, server, server->tls ? files : NULL,
                                        on_other_master, link);
    }
    if (store->replicas > 0) {
        link->wait = redis_wait_new(store, server, &wait_events, link);
    }
    link->timer = evtimer_new(store->base, on_timer, link);
    link->beat = evtimer_new(store->base, on_beat, link);
    link->backoff = redis_pace_backoff(store, server);
    timer_after(link->timer, 0);
    return link;
}

void redis_link_free(struct redis_link **link)
{
    if (*link == NULL) {
        return;
    }
    struct redis_link *gone = *link;
    *link = NULL;
    gone->state = LINK_WAITING;
    drop(gone);
    redis_find_free(&gone->find);
    redis_follow_free(&gone->follow);
    redis_wait_free(&gone->wait);
    free(gone->last);
    event_free(gone->timer);
    event_free(gone->beat);
    free(gone);
}

bool redis_link_is_up(const struct redis_link *link)
{
    return link->state == LINK_UP;
}

bool redis_link_ready(const struct redis_link *link)
{
    return link->state == LINK_UP &&
           clock_monotonic_us() - link->proof.proved_us <= redis_pace_proof_us(link->store);
}

bool redis_link_is_on_roll(const struct redis_link *link)
{
    uint64_t lease_us = (uint64_t)link->store->lease_ms * 1000;
    return link->state == LINK_UP && clock_monotonic_us() - link->rolled_us < lease_us;
}

void redis_link_prove(struct redis_link *link)
{
    if (link->state == LINK_UP && link->proof.hearing && !link->proof.proving) {
        link->proof.proving = true;
        send_proof(link);
    }
}

size_t redis_link_queued(const struct redis_link *link)
{
    return link->state == LINK_UP ? redis_conn_queued(link->command) : 0;
}

static bool has_room(const struct redis_link *link)
{
    return link->state == LINK_UP && redis_conn_queued(link->command) <= REDIS_LINK_QUEUE_MOST;
}

int redis_link_command(struct redis_link *link, struct span command, redis_reply_fn *fn, void *arg)
{
    if (!has_room(link)) {
        return -1;
    }
    redis_conn_send(link->command, command, fn, arg);
    return 0;
}

static void on_said(void *arg, const redisReply *reply)
{
    redis_link_check(arg, reply);
}

/* In a cluster the answer may be that another server has the slot. */
int redis_link_say(struct redis_link *link, struct span command, bool quiet)
{
    if (!has_room(link)) {
        return -1;
    }
    if (quiet && link->hush.works) {
        redis_hush_send(&link->hush, command);
    } else {
        redis_conn_send(link->command, command, on_said, link);
    }
    return 0;
}

int redis_link_share(struct redis_link *link, const struct redis_outbox *command,
                     redis_reply_fn *fn, void *arg)
{
    if (!has_room(link)) {
        return -1;
    }
    redis_conn_share(link->command, command, fn, arg);
    return 0;
}

int redis_link_replicated(struct redis_link *link, backend_answer_fn *fn, void *arg)
{
    return link->state == LINK_UP && link->wait != NULL ? redis_wait_ask(link->wait, fn, arg) : -1;
}

void redis_link_subscribe(struct redis_link *link, const struct span *channels, size_t count,
                          bool on)
{
    if (link->state == LINK_UP) {
        redis_push_subscribe(link->subscriber, channels, count, redis_link_is_sharded(link, 0), on);
    }
}

const char *redis_link_at(const struct redis_link *link)
{
    return link->last;
}

struct span redis_link_timeline(const struct redis_link *link)
{
    return span_str(link->role.timeline);
}

struct store *redis_link_store(const struct redis_link *link)
{
    return link->store;
}
