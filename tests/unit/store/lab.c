/* SPDX-License-Identifier: MIT */
#include "lab.h"

#include "store/base/clock.h"
#include "store/memory/memory.h"
#include "store/partition.h"
#include "store/stream_call.h"

#include <stdio.h>
#include <stdlib.h>

struct lab lab;

int lab_memory(void **state)
{
    (void)state;
    snprintf(lab.url, sizeof(lab.url), "memory:");
    lab.server_count = 0;
    return 0;
}

int lab_redis(void **state)
{
    (void)state;
    lab.server_count = 1;
    redis_start(&lab.servers[0], NULL, NULL);
    snprintf(lab.url, sizeof(lab.url), "redis://127.0.0.1:%d", lab.servers[0].port);
    return 0;
}

int lab_shards(void **state)
{
    (void)state;
    lab.server_count = 2;
    redis_start(&lab.servers[0], NULL, NULL);
    redis_start(&lab.servers[1], NULL, NULL);
    snprintf(lab.url, sizeof(lab.url), "redis://127.0.0.1:%d,redis://localhost:%d/3",
             lab.servers[0].port, lab.servers[1].port);
    return 0;
}

int lab_cluster(void **state)
{
    (void)state;
    lab.server_count = 6;
    lab.cluster = true;
    redis_start_cluster(lab.servers, lab.server_count);
    snprintf(lab.url, sizeof(lab.url), "redis+cluster://127.0.0.1:%d,127.0.0.1:%d",
             lab.servers[0].port, lab.servers[5].port);
    return 0;
}

int lab_topics(void)
{
    int count = 0;
    for (int i = 0; i < lab.server_count; i++) {
        count += (int)redis_count(&lab.servers[i], "PUBSUB %s %s:*:b:*",
                                  lab.cluster ? "SHARDCHANNELS" : "CHANNELS", lab.prefix);
    }
    return count;
}

struct redis_server_process *lab_master_of(const char *name)
{
    for (int i = 0; i < lab.server_count; i++) {
        if (lab.servers[i].pid == 0 || !redis_is_master(&lab.servers[i])) {
            continue;
        }
        redisReply *reply = redis_ask(&lab.servers[i], "GET %s", lab_key("l", name));
        bool has = reply->type != REDIS_REPLY_ERROR;
        freeReplyObject(reply);
        if (has) {
            return &lab.servers[i];
        }
    }
    return NULL;
}

static void remove_certs(void)
{
    char command[64];
    snprintf(command, sizeof(command), "rm -r %s", lab.certs);
    assert_int_equal(system(command), 0);
}

static void make_certs(void)
{
    char command[sizeof(lab.certs) + 128];
    snprintf(lab.certs, sizeof(lab.certs), "/tmp/muster-certs-XXXXXX");
    assert_non_null(mkdtemp(lab.certs));
    atexit(remove_certs);
    snprintf(command, sizeof(command), "%s %s", MUSTER_CERTIFICATES, lab.certs);
    assert_int_equal(system(command), 0);
}

const char *lab_cert(const char *name)
{
    static char paths[16][64];
    static unsigned turn;
    char *path = paths[turn++ % 16];
    if (lab.certs[0] == '\0') {
        make_certs();
    }
    snprintf(path, sizeof(paths[0]), "%s/%s", lab.certs, name);
    return path;
}

int lab_tls(void **state)
{
    static char ca[64];
    (void)state;
    snprintf(ca, sizeof(ca), "%s", lab_cert("ca.pem"));
    lab.server_count = 1;
    lab.tls = (struct store_tls){.ca = ca};
    redis_start_tls(&lab.servers[0], lab.certs, "server", false);
    snprintf(lab.url, sizeof(lab.url), "rediss://127.0.0.1:%d", lab.servers[0].tls_port);
    return 0;
}

int lab_pair(void **state)
{
    (void)state;
    lab.server_count = 2;
    redis_start(&lab.servers[0], NULL, NULL);
    redis_start_replica(&lab.servers[1], &lab.servers[0]);
    redis_start_sentinel(&lab.sentinel, &lab.servers[0]);
    snprintf(lab.url, sizeof(lab.url), "redis+sentinel://127.0.0.1:%d/fleet", lab.sentinel.port);
    return 0;
}

void lab_promoted(void)
{
    struct redis_server_process old = lab.servers[0];
    WAIT(redis_is_master(&lab.servers[1]));
    lab.servers[0] = lab.servers[1];
    lab.servers[1] = old;
}

int lab_promoted_pair(void **state)
{
    lab_pair(state);
    lab_setup(state);
    redis_fail_over(&lab.sentinel);
    lab_promoted();
    freeReplyObject(redis_ask(&lab.servers[1], "REPLICAOF 127.0.0.1 %d", lab.servers[0].port));
    redis_wait_follows(&lab.servers[1], &lab.servers[0]);
    return lab_teardown(state);
}

int lab_end(void **state)
{
    (void)state;
    lab.tls = (struct store_tls){0};
    redis_kill(&lab.sentinel);
    lab.sentinel = (struct redis_server_process){0};
    for (int i = 0; i < lab.server_count; i++) {
        redis_kill(&lab.servers[i]);
        if (lab.cluster) {
            redis_forget_cluster(&lab.servers[i]);
        }
        lab.servers[i] = (struct redis_server_process){0};
    }
    lab.server_count = 0;
    lab.cluster = false;
    return 0;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
}

int lab_setup(void **state)
{
    static unsigned tests;
    struct timeval period = {0, 5000};
    (void)state;
    lab.base = event_base_new();
    lab.tick = event_new(lab.base, -1, EV_PERSIST, on_tick, NULL);
    event_add(lab.tick, &period);
    lab.hub = memory_hub_new();
    lab.lease_ms = LEASE_MS;
    lab.replicas = 0;
    snprintf(lab.prefix, sizeof(lab.prefix), "t%u", ++tests);
    memset(lab.links_up, 0, sizeof(lab.links_up));
    memset(lab.links_down, 0, sizeof(lab.links_down));
    lab.bus_lags = 0;
    return 0;
}

int lab_teardown(void **state)
{
    (void)state;
    for (int i = 0; i < NODES_MOST; i++) {
        store_close(&lab.nodes[i]);
    }
    memory_hub_free(&lab.hub);
    event_free(lab.tick);
    event_base_free(lab.base);
    return 0;
}

bool lab_is_redis(void)
{
    return lab.server_count > 0;
}

static void on_link(void *arg, bool up, const char *text)
{
    int index = (int)(intptr_t)arg;
    lab.links_up[index] += up;
    lab.links_down[index] += !up;
    snprintf(lab.last_text, sizeof(lab.last_text), "%s", text);
}

static void on_trouble(void *arg, const char *text)
{
    (void)arg;
    snprintf(lab.last_trouble, sizeof(lab.last_trouble), "%s", text);
}

static void on_lag(void *arg, double seconds)
{
    (void)arg;
    assert_true(seconds >= 0);
    lab.bus_lags++;
}

struct store *lab_node_at(int index, const char *url)
{
    char name[16], error[256] = "";
    snprintf(name, sizeof(name), "node%d", index);
    struct store_options options = {
        .base = lab.base,
        .url = url != NULL ? url : lab.url,
        .tls = lab.tls,
        .prefix = lab.prefix,
        .node = name,
        .lease_ms = lab.lease_ms,
        .wire = lab.wire,
        .replicas = lab.replicas,
        .hub = lab.hub,
        .observer = {.link = on_link,
                     .trouble = on_trouble,
                     .bus_lag = on_lag,
                     .arg = (void *)(intptr_t)index},
    };
    lab.nodes[index] = store_open(&options, error, sizeof(error));
    assert_string_equal(error, "");
    assert_non_null(lab.nodes[index]);
    return lab.nodes[index];
}

const char *lab_key(const char *kind, const char *name)
{
    static char keys[4][128];
    static unsigned next;
    struct buf key = {0};
    char *place = keys[next++ % 4];
    partition_key(&key, lab.prefix, kind, span_str(name));
    snprintf(place, sizeof(keys[0]), "%s", buf_text(&key));
    buf_free(&key);
    return place;
}

const char *lab_lane(unsigned lane)
{
    static char key[128];
    unsigned home = partition_of(STREAM_HOME);
    snprintf(key, sizeof(key), "%s:{%s}:s:%u", lab.prefix, partition_tag(home), lane);
    return key;
}

struct store *lab_node(int index)
{
    return lab_node_at(index, NULL);
}

void lab_nodes(int count)
{
    for (int i = 0; i < count; i++) {
        lab_node(i);
    }
    for (int i = 0; i < count; i++) {
        WAIT(store_ready(lab.nodes[i]));
    }
}

void lab_turn(void)
{
    event_base_loop(lab.base, EVLOOP_ONCE);
}

uint64_t lab_ms(void)
{
    return clock_monotonic_ms();
}

void lab_run(unsigned ms)
{
    uint64_t end = lab_ms() + ms;
    while (lab_ms() < end) {
        lab_turn();
    }
}

static void log_event(struct buf *log, const char *text)
{
    buf_printf(log, "%s%s", log->len > 0 ? " " : "", text);
}

static void log_member(struct buf *log, char sign, const struct roster_member *member)
{
    struct span value = member->value;
    value.len = value.len > 32 ? 32 : value.len;
    buf_printf(log, "%s%c%.*s=%.*s", log->len > 0 ? " " : "", sign, SPAN_ARG(member->name),
               SPAN_ARG(value));
}

static void on_roster(void *arg, enum roster_event event, const struct roster_member *member)
{
    struct watcher *watcher = arg;
    size_t count = watcher->watch != NULL ? roster_count(watcher->watch) : 0;
    switch (event) {
    case ROSTER_SET:
        watcher->sets++;
        log_member(&watcher->log, '+', member);
        break;
    case ROSTER_GONE:
        watcher->gones++;
        log_member(&watcher->log, '-', member);
        break;
    case ROSTER_CHANGED:
        watcher->changes++;
        watcher->least = count < watcher->least ? count : watcher->least;
        watcher->most = count > watcher->most ? count : watcher->most;
        log_event(&watcher->log, "*");
        break;
    case ROSTER_CURRENT:
        watcher->currents++;
        log_event(&watcher->log, "C");
        break;
    case ROSTER_STALE:
        watcher->stales++;
        log_event(&watcher->log, "S");
        break;
    }
    if (watcher->on_event != NULL) {
        watcher->on_event(watcher, event, member);
    }
}

void watcher_start(struct watcher *watcher, struct store *store, const char *key)
{
    watcher->least = SIZE_MAX;
    watcher->watch = roster_watch(store, span_str(key), on_roster, watcher);
}

void watcher_stop(struct watcher *watcher)
{
    roster_unwatch(&watcher->watch);
    buf_free(&watcher->log);
}

void watcher_mark(struct watcher *watcher)
{
    buf_free(&watcher->log);
    watcher->least = watcher->most = roster_count(watcher->watch);
    watcher->sets = watcher->gones = watcher->changes = watcher->currents = watcher->stales = 0;
}

const char *watcher_log(struct watcher *watcher)
{
    return buf_text(&watcher->log);
}

bool watcher_has(const struct watcher *watcher, const char *member, const char *value)
{
    struct span found;
    return roster_find(watcher->watch, span_str(member), &found) && span_eq(found, span_str(value));
}

static void on_bus(void *arg, enum bus_event event, struct span payload)
{
    struct listener *listener = arg;
    struct span shown = payload;
    shown.len = shown.len > 32 ? 32 : shown.len;
    switch (event) {
    case BUS_READY:
        listener->readies++;
        log_event(&listener->log, "R");
        break;
    case BUS_GAP:
        listener->gaps++;
        log_event(&listener->log, "G");
        break;
    case BUS_MESSAGE:
        listener->messages++;
        listener->bytes += payload.len;
        buf_printf(&listener->log, "%s'%.*s'", listener->log.len > 0 ? " " : "", SPAN_ARG(shown));
        break;
    }
    if (listener->on_event != NULL) {
        listener->on_event(listener, event);
    }
}

void listener_start(struct listener *listener, struct store *store, const char *topic,
                    enum bus_echo echo)
{
    listener->sub = bus_subscribe(store, span_str(topic), echo, on_bus, listener);
}

void listener_attend(struct listener *listener, struct store *store, const char *topic)
{
    listener->sub = bus_attend(store, span_str(topic), on_bus, listener);
}

void listener_stop(struct listener *listener)
{
    bus_unsubscribe(&listener->sub);
    buf_free(&listener->log);
}

const char *listener_log(struct listener *listener)
{
    return buf_text(&listener->log);
}

void claim(int node, const char *key, const char *member, const char *value)
{
    roster_claim(lab.nodes[node], span_str(key), span_str(member), span_str(value));
}

void release(int node, const char *key, const char *member)
{
    roster_release(lab.nodes[node], span_str(key), span_str(member));
}

int publish(int node, const char *topic, const char *payload)
{
    return bus_publish(lab.nodes[node], span_str(topic), span_str(payload));
}

int lab_redis_setup(void **state)
{
    lab_redis(state);
    return lab_setup(state);
}

int lab_redis_teardown(void **state)
{
    lab_teardown(state);
    return lab_end(state);
}
