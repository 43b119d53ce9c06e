/* SPDX-License-Identifier: MIT */
#include "store/redis/link.h"

#include "store/base/backoff.h"
#include "store/base/clock.h"
#include "store/base/decimal.h"
#include "store/base/entropy.h"
#include "store/base/resp.h"
#include "store/base/timer.h"
#include "store/redis/find.h"
#include "store/redis/follow.h"
#include "store/redis/greeting.h"
#include "store/redis/roll.h"
#include "store/redis/scripts.h"
#include "store/redis/sentinel.h"
#include "store/redis/wait.h"
#include "store/store_impl.h"

#include <inttypes.h>
#include <limits.h>

enum {
    REDIS_LINK_QUEUE_MOST = 16 * 1024 * 1024, /* bytes not yet taken by the kernel */
    REDIS_LINK_BACKOFF_FIRST_MS = 100,
    REDIS_LINK_BACKOFF_MOST_MS = 5000,
    BEAT_LEAST_MS = 100,
    BEAT_MOST_MS = 1000,
    PROOF_BEATS = 3,
    PROOF_PATIENCE = 4, /* limits for which it may be behind what else comes */
    PROOF_LEAST_MS = 1000,
    CONNECT_LEAST_MS = 3000,
    FIND_MOST_MS = 1000, /* to connect, where sentinels may name another server meanwhile */
    CONNECT_MOST_MS = 5000,
    TOKEN_DIGITS = 16,
    COMPLAINT_PAUSE_MS = 1000,
    TIMELINE_DIGITS = 16,
};

enum link_state { LINK_WAITING, LINK_CONNECTING, LINK_PROVING, LINK_UP };

struct redis_link {
    struct store *store;
    const struct redis_link_events *events;
    void *arg;
    const struct redis_server *server;
    enum link_state state;
    struct redis_find *find;
    struct redis_follow *follow; /* NULL: no sentinels */
    struct redis_conn *command, *subscriber;
    struct redis_wait *wait; /* NULL: no replicas are waited for */
    bool greeted;            /* the command connection is usable, this node on the roll */
    bool connected;          /* the command connection is there */
    bool called;             /* its rolls were asked */
    unsigned rolls;          /* of these, not answered */
    bool hearing;            /* the subscribed one hears the proof */
    int tag;                 /* in a cluster: whose tag the proof has; -1: none */
    uint64_t proof_asked_us; /* the proof's channel was asked for */
    char *last;              /* "host port" of the last link that was up; NULL: this is the first */
    struct event *timer;     /* next try, or the time limit of this one */
    struct event *beat;
    struct backoff backoff;
    unsigned tries;
    char *proof;          /* channel of this connection's own messages */
    uint64_t proved_us;   /* the last one came back */
    uint64_t answered_us; /* the command connection last answered */
    uint64_t heard_us;    /* something last came over the subscribed one */
    uint64_t spoken_us;   /* the server published one that has not come back since; 0: all have */
    uint64_t beat_us;     /* the last one went out */
    bool proving;         /* one was asked for, and has not come back */
    uint64_t up_us;
    uint64_t complained_us;
    char timeline[TIMELINE_DIGITS + 1]; /* of the server, as it said last */
    bool unguarded; /* it takes writes without a replica that follows: min-replicas-to-write is 0 */
    unsigned followers; /* replicas, as it said last; UINT_MAX: it does not say */
};

static uint64_t clamp(uint64_t value, uint64_t least, uint64_t most)
{
    return value < least ? least : value > most ? most : value;
}

static uint64_t beat_ms(const struct redis_link *link)
{
    return clamp(link->store->lease_ms / 5, BEAT_LEAST_MS, BEAT_MOST_MS);
}

static uint64_t proof_limit_us(const struct redis_link *link)
{
    return clamp(beat_ms(link) * PROOF_BEATS, PROOF_LEAST_MS, UINT64_MAX) * 1000;
}

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
    redis_conn_free(&link->command);
    redis_conn_free(&link->subscriber);
    if (link->wait != NULL) {
        redis_wait_hang_up(link->wait);
    }
    event_del(link->beat);
    event_del(link->timer);
    free(link->proof);
    link->proof = NULL;
    link->greeted = link->hearing = link->called = link->connected = false;
    link->rolls = 0;
    link->spoken_us = 0;
    link->proving = false;
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

/* True when a server of a cluster says that it does not serve the slot. */
static bool is_redirected(struct redis_link *link, const char *error)
{
    const struct redis_link_cluster *cluster = link->events->cluster;
    struct redis_redirect to = {.kind = REDIRECT_NONE};
    if (cluster != NULL) {
        to = redis_redirect_read(error);
    }
    if (to.kind == REDIRECT_MOVED || to.kind == REDIRECT_UNSERVED) {
        cluster->redirected(link->arg, &to);
    }
    return to.kind != REDIRECT_NONE;
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
    if (is_redirected(link, reply->str)) {
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

static struct span reply_span(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING ? span_of(reply->str, (size_t)reply->len)
                                             : span_of(NULL, 0);
}

static void on_greeting(void *arg, const redisReply *reply)
{
    if (reply != NULL && redis_greeting_refused(reply)) {
        fail(arg, reply->str);
    }
}

/* The proof's time runs from here: what it waited for before is the server's other work, which it
 * answers. */
static void on_spoken(void *arg, const redisReply *reply)
{
    struct redis_link *link = arg;
    if (redis_link_check(link, reply) && link->spoken_us == 0) {
        link->spoken_us = link->answered_us;
    }
}

static void send_proof(struct redis_link *link);

static void prove_when_greeted(struct redis_link *link)
{
    if (link->state == LINK_CONNECTING && link->greeted && link->hearing) {
        link->state = LINK_PROVING;
        link->beat_us = clock_monotonic_us();
        send_proof(link);
    }
}

/* ROLE: publishing at a replica does not reach the other nodes. Where an ACL forbids the question
 * the server is believed to be no replica. */
static void on_role(void *arg, const redisReply *reply)
{
    struct redis_link *link = arg;
    if (reply == NULL) {
        return;
    }
    link->answered_us = clock_monotonic_us();
    if (reply->type == REDIS_REPLY_ERROR && redis_error_is_fatal(reply->str)) {
        fail(link, reply->str);
    } else if (reply->type == REDIS_REPLY_ARRAY && reply->elements > 0 &&
               reply->element[0]->type == REDIS_REPLY_STRING &&
               strcmp(reply->element[0]->str, "master") != 0) {
        fail(link, "READONLY: the server is a replica");
    }
}

/* ------------------------------------------------------------------------------------ the roll */

/* Another form of the wire, or an older one that is about to be written again for this node. */
static void turn_away(struct redis_link *link, unsigned shard, enum roll_answer answer,
                      const struct redis_roll *roll)
{
    struct buf text = {0};
    if (roll->nodes == 0 && roll->list.len == 0) {
        buf_append(&text, SPAN("the roll of the server cannot be read"));
    } else {
        redis_roll_print(roll, link->store, &text);
    }
    if (answer != ROLL_LATER) {
        store_on_refusal(link->store, shard, buf_text(&text));
    }
    if (answer == ROLL_NEVER) {
        store_on_unread(link->store, WIRE_NODE, buf_text(&text));
    }
    fail(link, buf_text(&text));
    buf_free(&text);
}

/* The last roll that was asked has answered, or said that another server has it by now. */
static void end_rolls(struct redis_link *link)
{
    const struct redis_link_cluster *cluster = link->events->cluster;
    if (link->rolls == 0 && (cluster == NULL || cluster->is_welcome(link->arg))) {
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

static void take_roll(struct redis_link *link, unsigned shard, struct span answer)
{
    struct redis_roll roll;
    struct buf text = {0};
    enum roll_answer welcome = redis_roll_read(answer, &roll);
    if (welcome == ROLL_OTHER_LIST && take_list(link, &roll)) {
        return;
    }
    redis_roll_print(&roll, link->store, &text);
    store_on_roll(link->store, shard, roll.shared, roll.nodes > 0 ? buf_text(&text) : NULL);
    buf_free(&text);
    if (welcome != ROLL_WELCOME && (welcome != ROLL_LATER || !link->greeted)) {
        turn_away(link, shard, welcome, &roll);
        return;
    }
    store_on_refusal(link->store, shard, NULL);
    if (store_refusal(link->store) != NULL) {
        fail(link, store_refusal(link->store)); /* who is refused by one server uses none */
        return;
    }
    if (link->events->cluster != NULL) {
        link->events->cluster->welcomed(link->arg);
    }
    end_rolls(link);
}

struct roll_call {
    struct redis_link *link;
    unsigned shard;
    enum roll_verb verb;
};

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
    } else if (error && is_redirected(link, reply->str)) {
        end_rolls(link);
    } else if (error) {
        fail(link, reply->str);
    } else {
        take_roll(link, call.shard, reply_span(reply));
    }
}

static void send_roll(const struct roll_call *call, bool by_text)
{
    struct redis_script script;
    struct roll_call *kept = mem_alloc(sizeof(*kept));
    *kept = *call;
    redis_roll_begin(&script, call->link->store, call->shard, call->verb);
    call->link->rolls++;
    redis_script_send(&script, call->link->command, by_text, on_roll, kept);
}

static void send_rolls(struct redis_link *link, enum roll_verb verb)
{
    unsigned shards[REDIS_LINK_ROLLS];
    unsigned count = link->events->rolls(link->arg, shards);
    for (unsigned i = 0; i < count; i++) {
        send_roll(&(struct roll_call){link, shards[i], verb}, false);
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
    bool knows = link->events->cluster == NULL || link->hearing;
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

/* The digits of `field` at the start of a line of INFO; empty when it has none. */
static struct span info_field(struct span info, struct span field)
{
    while (info.len > 0) {
        struct span line = span_cut(&info, '\n');
        if (span_starts_with(line, field)) {
            struct span value = span_skip(line, field.len);
            return span_cut(&value, '\r');
        }
    }
    return span_of(NULL, 0);
}

/* INFO replication: a server begins a new replication history when it is promoted and when it
 * starts. Where an ACL forbids the question, or the answer does not say, there is one history
 * only. */
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
    struct span info = reply->type == REDIS_REPLY_STRING ? span_of(reply->str, (size_t)reply->len)
                                                         : span_of(NULL, 0);
    struct span id = info_field(info, SPAN("master_replid:"));
    uint64_t followers;
    link->followers =
        decimal_read(info_field(info, SPAN("connected_slaves:")), UINT_MAX, &followers)
            ? (unsigned)followers
            : UINT_MAX;
    link->unguarded = id.len > 0 && info_field(info, SPAN("min_slaves_good_slaves:")).len == 0;
    if (id.len < TIMELINE_DIGITS || strspn(id.ptr, "0") >= TIMELINE_DIGITS) {
        snprintf(link->timeline, sizeof(link->timeline), "-");
    } else {
        snprintf(link->timeline, sizeof(link->timeline), "%.*s", TIMELINE_DIGITS, id.ptr);
    }
}

static void ask_role(struct redis_link *link)
{
    redis_conn_send(link->command, SPAN("*2\r\n$4\r\nINFO\r\n$11\r\nreplication\r\n"), on_info,
                    link);
    redis_conn_send(link->command, SPAN("*1\r\n$4\r\nROLE\r\n"), on_role, link);
}

/* Do the channels with that tag (-1: none) belong to a slot? */
static bool is_sharded(const struct redis_link *link, int tag)
{
    const struct redis_link_cluster *cluster = link->events->cluster;
    return cluster != NULL && tag >= 0 && cluster->is_sharded(link->arg);
}

struct span redis_link_publish_word(const struct redis_link *link)
{
    return is_sharded(link, 0) ? SPAN("SPUBLISH") : SPAN("PUBLISH");
}

static void send_proof(struct redis_link *link)
{
    struct buf command = {0};
    char now[24];
    snprintf(now, sizeof(now), "%" PRIu64, clock_monotonic_us());
    resp_command(&command, 3);
    resp_word(&command, is_sharded(link, link->tag) ? SPAN("SPUBLISH") : SPAN("PUBLISH"));
    resp_word(&command, span_str(link->proof));
    resp_word(&command, span_str(now));
    redis_conn_send(link->command, buf_span(&command), on_spoken, link);
    buf_free(&command);
}

static void send_subscribe(struct redis_link *link, const struct span *channels, size_t count,
                           bool sharded, bool on)
{
    struct buf out = {0};
    resp_command(&out, count + 1);
    resp_word(&out, sharded ? on ? SPAN("SSUBSCRIBE") : SPAN("SUNSUBSCRIBE")
                    : on ? SPAN("SUBSCRIBE")
                            : SPAN("UNSUBSCRIBE"));
    for (size_t i = 0; i < count; i++) {
        resp_word(&out, channels[i]);
    }
    redis_conn_send(link->subscriber, buf_span(&out), NULL, NULL);
    buf_free(&out);
}

static void ask_for_proof(struct redis_link *link)
{
    struct span proof = span_str(link->proof);
    link->proof_asked_us = clock_monotonic_us();
    send_subscribe(link, &proof, 1, is_sharded(link, link->tag), true);
}

static void name_proof(struct redis_link *link)
{
    const struct redis_link_cluster *cluster = link->events->cluster;
    struct buf proof = {0};
    char token[TOKEN_DIGITS + 1];
    entropy_hex(token, TOKEN_DIGITS);
    link->tag = cluster != NULL ? cluster->tag(link->arg) : -1;
    buf_append(&proof, span_str(link->store->prefix));
    if (link->tag >= 0) {
        buf_printf(&proof, ":{%s}", partition_tag((unsigned)link->tag));
    }
    buf_printf(&proof, ":proof:%s:%s", link->store->node, token);
    free(link->proof);
    link->proof = mem_dup(buf_span(&proof));
    buf_free(&proof);
}

/* In a cluster the proof's own slot may have moved away. */
static void keep_proof(struct redis_link *link)
{
    const struct redis_link_cluster *cluster = link->events->cluster;
    if (is_sharded(link, link->tag) && !cluster->has(link->arg, (unsigned)link->tag)) {
        name_proof(link);
        link->hearing = link->proving = false;
        link->spoken_us = 0;
        ask_for_proof(link);
    }
}

static void on_connected(void *arg, struct redis_conn *conn)
{
    struct redis_link *link = arg;
    redis_greeting_send(conn, link->server, link->store->node, on_greeting, link);
    if (conn == link->subscriber) {
        ask_for_proof(link);
    } else {
        redis_greeting_load(conn, link->events->cluster == NULL, on_greeting, link);
        ask_role(link);
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
    if (link->followers < link->store->replicas) {
        buf_printf(&text,
                   "; %u replicas follow it, and store-replicas wants %u: nothing will be "
                   "accepted",
                   link->followers, link->store->replicas);
    } else if (link->unguarded && link->follow != NULL) {
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
    link->up_us = link->proved_us;
    link->store->stats.reconnects += link->last != NULL;
    note_server(link);
    timer_after(link->beat, beat_ms(link));
    report_up(link);
}

static void on_proof(struct redis_link *link, const char *sent_us)
{
    const struct store_observer *observer = &link->store->observer;
    uint64_t sent = strtoull(sent_us, NULL, 10);
    link->proved_us = clock_monotonic_us();
    link->spoken_us = 0;
    link->proving = false;
    if (observer->bus_lag != NULL && !link->store->closing) {
        observer->bus_lag(observer->arg, (double)(link->proved_us - sent) / 1e6);
    }
    if (link->state == LINK_PROVING) {
        go_up(link);
    }
    link->events->proof(link->arg, sent);
}

/* A partition that has another server by now, and whose channels are heard here all the same: where
 * every server hears all, for ever. */
static bool is_elsewhere(struct redis_link *link, struct span channel)
{
    const struct redis_link_cluster *cluster = link->events->cluster;
    int partition = cluster != NULL ? partition_of_key(channel) : -1;
    if (cluster == NULL) {
        return link->events->has != NULL && !link->events->has(link->arg, channel);
    }
    return partition >= 0 && !cluster->has(link->arg, (unsigned)partition);
}

static void take_message(struct redis_link *link, struct span channel, const redisReply *payload)
{
    if (span_eq(channel, span_str(link->proof))) {
        on_proof(link, payload->str);
    } else if (!is_elsewhere(link, channel)) {
        bus_on_message(link->store, channel, reply_span(payload));
    } else if (!is_sharded(link, 0)) {
        send_subscribe(link, &channel, 1, false, false);
    }
}

static void take_channel(struct redis_link *link, struct span channel, bool on)
{
    const struct redis_link_cluster *cluster = link->events->cluster;
    int partition = cluster != NULL ? partition_of_key(channel) : -1;
    if (span_eq(channel, span_str(link->proof)) && on) {
        link->hearing = true;
        begin_rolls(link);
        prove_when_greeted(link);
    } else if (span_eq(channel, span_str(link->proof))) {
        cluster->gave_up(link->arg, (unsigned)link->tag);
        keep_proof(link);
    } else if (!is_elsewhere(link, channel) && !bus_on_channel(link->store, channel, on) && !on &&
               partition >= 0 && is_sharded(link, partition)) {
        cluster->gave_up(link->arg, (unsigned)partition);
    }
}

static void take_push_error(struct redis_link *link, const char *error)
{
    const struct redis_link_cluster *cluster = link->events->cluster;
    bool unknown = strstr(error, "unknown command") != NULL;
    if (is_redirected(link, error)) {
        if (link->hearing) {
            keep_proof(link);
        } else {
            fail(link, error); /* the proof's own slot */
        }
        return;
    }
    if (unknown && is_sharded(link, 0)) {
        cluster->go_plain(link->arg, false);
    }
    fail(link, error);
}

/* [["s"]"message", channel, payload], [["s"]"subscribe" | ["s"]"unsubscribe", channel, count] */
static void on_push(void *arg, const redisReply *reply)
{
    struct redis_link *link = arg;
    link->heard_us = clock_monotonic_us();
    if (reply->type == REDIS_REPLY_ERROR) {
        take_push_error(link, reply->str);
        return;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3) {
        return;
    }
    struct span kind = reply_span(reply->element[0]);
    struct span channel = reply_span(reply->element[1]);
    bool slots = span_eq(kind, SPAN("smessage")) || span_eq(kind, SPAN("ssubscribe")) ||
                 span_eq(kind, SPAN("sunsubscribe"));
    kind = span_skip(kind, slots);
    if (span_eq(kind, SPAN("message"))) {
        take_message(link, channel, reply->element[2]);
    } else {
        take_channel(link, channel, span_eq(kind, SPAN("subscribe")));
    }
}

static void on_lost(void *arg, const char *text)
{
    fail(arg, text);
}

/* A fail-over is over for all nodes at nearly the same time, or members of the last ones run out:
 * so a try that began too early, at a master that does not answer any more, must not hold a node
 * up. */
static uint64_t connect_limit_ms(const struct redis_link *link)
{
    uint64_t lease = link->store->lease_ms;
    return link->server->master != NULL ? clamp(lease / 8, FIND_MOST_MS / 4, FIND_MOST_MS)
                                        : clamp(lease / 2, CONNECT_LEAST_MS, CONNECT_MOST_MS);
}

static uint64_t backoff_most_ms(const struct redis_link *link)
{
    /* Back within a third of the lease, so that no node's members run out meanwhile. */
    uint64_t part = link->server->master != NULL ? 10 : 3;
    return clamp(link->store->lease_ms / part, REDIS_LINK_BACKOFF_FIRST_MS,
                 REDIS_LINK_BACKOFF_MOST_MS);
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
    timer_after(link->timer, connect_limit_ms(link));
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
    timer_after(link->timer, connect_limit_ms(link) + sentinels * SENTINEL_MS);
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

/* A proof that the server published comes back in time, or behind what else comes, but not for long:
 * a subscribed connection to another server may hear others, too. */
static bool is_proved(const struct redis_link *link, uint64_t now)
{
    uint64_t limit = proof_limit_us(link);
    return link->spoken_us == 0 || now - link->spoken_us <= limit ||
           (now - link->heard_us <= limit && now - link->spoken_us <= PROOF_PATIENCE * limit);
}

/* A proof whose channel is not confirmed yet says nothing. */
static void prove_again(struct redis_link *link)
{
    link->beat_us = clock_monotonic_us();
    if (link->hearing) {
        send_proof(link);
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
    bool late = now - link->beat_us > 2 * beat_ms(link) * 1000;
    if (late) {
        link->proved_us = link->answered_us = now;
        link->spoken_us = 0;
    }
    if (!is_proved(link, now)) {
        fail(link, "a message published to it does not come back in time");
    } else if (now - link->answered_us > proof_limit_us(link)) {
        fail(link, "it does not answer in time");
    } else if (!link->hearing && now - link->proof_asked_us > proof_limit_us(link)) {
        fail(link, "it does not answer to SSUBSCRIBE");
    } else {
        if (now - link->up_us > proof_limit_us(link)) {
            backoff_reset(&link->backoff);
        }
        ask_role(link);
        call_rolls(link);
        keep_proof(link);
        prove_again(link);
        if (link->follow != NULL) {
            redis_follow_beat(link->follow, redis_find_endpoint(link->find));
        }
        timer_after(link->beat, beat_ms(link));
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
    link->backoff.first_ms = REDIS_LINK_BACKOFF_FIRST_MS;
    link->backoff.most_ms = (uint32_t)backoff_most_ms(link);
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
    return link->state == LINK_UP && clock_monotonic_us() - link->proved_us <= proof_limit_us(link);
}

void redis_link_prove(struct redis_link *link)
{
    if (link->state == LINK_UP && link->hearing && !link->proving) {
        link->proving = true;
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
        send_subscribe(link, channels, count, is_sharded(link, 0), on);
    }
}

const char *redis_link_at(const struct redis_link *link)
{
    return link->last;
}

struct span redis_link_timeline(const struct redis_link *link)
{
    return span_str(link->timeline);
}

struct store *redis_link_store(const struct redis_link *link)
{
    return link->store;
}
