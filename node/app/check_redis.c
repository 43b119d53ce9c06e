/* SPDX-License-Identifier: MIT */
/* What INFO of each Redis server says that matters to a fleet. */
#include "node/app/check_impl.h"
#include "store/base/timer.h"
#include "store/inspect.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    CLOCK_WARN_US = 1000 * 1000,
    REDIS_LEAST = 602, /* major and minor */
    REDIS_ASK_MS = 3000,
};

struct inquiry {
    struct check *check;
    unsigned open;
};

static struct span field(struct span info, const char *name)
{
    while (info.len > 0) {
        struct span line = span_cut(&info, '\n');
        struct span key = span_cut(&line, ':');
        if (span_eq(key, span_str(name))) {
            return span_cut(&line, '\r');
        }
    }
    return span_of(NULL, 0);
}

static bool is(struct span info, const char *name, const char *value)
{
    return span_eq(field(info, name), span_str(value));
}

static uint64_t number(struct span info, const char *name)
{
    struct span text = field(info, name);
    return text.ptr != NULL ? strtoull(text.ptr, NULL, 10) : 0;
}

void check_clock(struct check *check, const char *about, const char *whose, int64_t ahead_us)
{
    int64_t apart_us = ahead_us < 0 ? -ahead_us : ahead_us;
    if (apart_us > CLOCK_WARN_US) {
        check_find(check, VERDICT_WARN, about,
                   "the clock of %s is %.1f s %s this machine's: have both set by NTP", whose,
                   (double)apart_us / 1e6, ahead_us > 0 ? "ahead of" : "behind");
    } else {
        check_find(check, VERDICT_OK, about, "the clock of %s differs by %" PRId64 " ms", whose,
                   apart_us / 1000);
    }
}

static void check_version(struct check *check, const char *about, struct span info)
{
    struct span valkey = field(info, "valkey_version"), version = field(info, "redis_version");
    unsigned major = 0, minor = 0;
    char text[32];
    snprintf(text, sizeof(text), "%.*s", SPAN_ARG(version));
    sscanf(text, "%u.%u", &major, &minor);
    bool old = valkey.len == 0 && major * 100 + minor < REDIS_LEAST;
    check_find(check, old ? VERDICT_ERROR : VERDICT_OK, about, "%s %.*s%s",
               valkey.len > 0 ? "Valkey" : "Redis", SPAN_ARG(valkey.len > 0 ? valkey : version),
               old ? ": too old, take 6.2 or newer" : "");
}

/* A URL of single servers would meet MOVED for most keys. */
static void check_mode(struct check *check, const char *about, struct span info)
{
    if (is(info, "cluster_enabled", "1") && strstr(check->settings->store, "cluster") == NULL) {
        check_find(check, VERDICT_ERROR, about,
                   "it is part of a Redis Cluster, and --store names single servers: most keys are "
                   "not its own; write redis+cluster:// for it");
    }
}

/* A server that is full must say so: entries of the log stream and members would vanish. */
static void check_memory(struct check *check, const char *about, struct span info)
{
    struct span policy = field(info, "maxmemory_policy");
    if (policy.len > 0 && !span_eq(policy, SPAN("noeviction"))) {
        check_find(check, VERDICT_ERROR, about,
                   "maxmemory-policy is %.*s: when it is full it drops what the fleet needs; set "
                   "noeviction",
                   SPAN_ARG(policy));
    } else if (policy.len > 0) {
        check_find(check, VERDICT_OK, about, "maxmemory-policy is noeviction, maxmemory %.*s",
                   SPAN_ARG(field(info, "maxmemory_human")));
    }
}

static void check_persistence(struct check *check, const char *about, struct span info)
{
    bool append = is(info, "aof_enabled", "1");
    if (field(info, "aof_enabled").len == 0) {
        return; /* it may not be asked */
    }
    if (append && !is(info, "aof_last_write_status", "ok")) {
        check_find(check, VERDICT_ERROR, about,
                   "it cannot write its append-only file: look into its log and at its disk");
    } else if (!is(info, "rdb_last_bgsave_status", "ok")) {
        check_find(check, VERDICT_ERROR, about,
                   "its last snapshot failed: look into its log and at its disk");
    } else if (!append) {
        check_find(check, VERDICT_WARN, about,
                   "appendonly is no: a crash of it loses log entries that no sink has stored, and "
                   "the chat's history; set appendonly yes");
    } else {
        check_find(check, VERDICT_OK, about, "keeps an append-only file");
    }
}

static void check_replicas(struct check *check, const char *about, struct span info)
{
    uint64_t replicas = number(info, "connected_slaves");
    bool guarded = field(info, "min_slaves_good_slaves").len > 0;
    if (replicas > 0 && !guarded) {
        check_find(check, VERDICT_WARN, about,
                   "%" PRIu64 " replicas, and min-replicas-to-write is 0: a master that is cut off "
                   "takes writes that a fail-over loses; set min-replicas-to-write 1",
                   replicas);
    } else {
        check_find(check, VERDICT_OK, about, "%" PRIu64 " replicas%s", replicas,
                   guarded ? ", min-replicas-to-write is set" : "");
    }
}

static void on_server(void *arg, const struct store_server *server)
{
    struct inquiry *inquiry = arg;
    char about[300];
    if (server->name != NULL) {
        snprintf(about, sizeof(about), "redis %s", server->name);
    } else {
        snprintf(about, sizeof(about), "redis %u", server->shard);
    }
    if (server->info.len > 0) {
        check_version(inquiry->check, about, server->info);
        check_mode(inquiry->check, about, server->info);
        check_memory(inquiry->check, about, server->info);
        check_persistence(inquiry->check, about, server->info);
        check_replicas(inquiry->check, about, server->info);
    } else {
        check_find(inquiry->check, VERDICT_WARN, about, "it may not be asked: allow INFO");
    }
    if (server->knows_time) {
        check_clock(inquiry->check, about, "the server", server->ahead_us);
    }
    if (--inquiry->open == 0) {
        loop_stop(inquiry->check->loop);
    }
}

static void on_over(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    loop_stop(arg);
}

/* What a cluster looks like: a line for each server, and what is missing. */
static void check_map(struct check *check)
{
    struct buf map = {0};
    store_print_map(check->store, &map);
    struct span rest = buf_span(&map);
    while (rest.len > 0) {
        struct span line = span_cut(&rest, '\n');
        bool missing = memmem(line.ptr, line.len, "no server", 9) != NULL;
        bool alone = memmem(line.ptr, line.len, " 0 replicas", 11) != NULL;
        check_find(check,
                   missing ? VERDICT_ERROR
                   : alone ? VERDICT_WARN
                           : VERDICT_OK,
                   "cluster", "%.*s%s", SPAN_ARG(line),
                   alone ? ": nobody takes over when it dies; give it a replica" : "");
    }
    buf_free(&map);
}

void check_redis(struct check *check)
{
    check_map(check);
    struct inquiry inquiry = {check, 0};
    struct event *over = evtimer_new(loop_base(check->loop), on_over, check->loop);
    inquiry.open = store_inspect(check->store, on_server, &inquiry);
    timer_after(over, REDIS_ASK_MS);
    if (inquiry.open > 0) {
        loop_run(check->loop);
    }
    event_free(over);
}
