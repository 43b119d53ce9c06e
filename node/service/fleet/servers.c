/* SPDX-License-Identifier: MIT */
#include "node/service/fleet/servers.h"

#include "node/proto/json/scan.h"
#include "store/base/clock.h"
#include "store/base/mem.h"
#include "store/inspect.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    SERVERS_MOST = 16,     /* that are told */
    SERVER_REPLICAS = 8,   /* of each */
    SERVERS_LOOKS = 3,     /* looks between two questions */
    MISSING_MOST = 10,     /* looks for which one that is gone is remembered */
    SERVER_TEXT_MOST = 96, /* bytes of a name, a version */
};

struct known_server {
    char *name, *at, *timeline; /* NULL: not known yet */
    unsigned missing;           /* looks since it was named last: in a cluster others take over */
    bool fresh;                 /* came since, and took nothing over that is known */
    uint64_t reconnects;        /* of all links, by then */
    struct buf row;             /* JSON, as it was asked last; empty: not yet */
};

struct fleet_servers {
    struct store *store;
    fleet_servers_fn *fn;
    void *arg;
    struct known_server of[SERVERS_MOST];
    size_t count;
    unsigned looks;
    uint64_t answered_ms; /* unix; 0: never */
};

/* ------------------------------------------------------------------------------------ INFO */

static struct span field_of(struct span info, const char *name)
{
    while (info.len > 0) {
        struct span line = span_cut(&info, '\n'), key = span_cut(&line, ':');
        if (span_eq(key, span_str(name))) {
            return span_cut(&line, '\r');
        }
    }
    return span_of(NULL, 0);
}

static uint64_t number_of(struct span text)
{
    char digits[24];
    snprintf(digits, sizeof(digits), "%.*s", SPAN_ARG(text));
    return strtoull(digits, NULL, 10);
}

static void print_number(struct buf *row, const char *name, struct span text)
{
    if (text.len > 0) {
        buf_printf(row, ",\"%s\":%" PRIu64, name, number_of(text));
    }
}

static void print_text(struct buf *row, const char *name, struct span text)
{
    if (text.len > 0) {
        buf_printf(row, ",\"%s\":", name);
        json_quote_cut(text, SERVER_TEXT_MOST, row);
    }
}

/* slave0:ip=10.0.0.7,port=6379,state=online,offset=1234,lag=0 */
static void print_replica(struct buf *row, struct span text, uint64_t written)
{
    struct span ip = {0}, port = {0}, state = {0}, offset = {0}, lag = {0};
    while (text.len > 0) {
        struct span value = span_cut(&text, ','), key = span_cut(&value, '=');
        ip = span_eq(key, SPAN("ip")) ? value : ip;
        port = span_eq(key, SPAN("port")) ? value : port;
        state = span_eq(key, SPAN("state")) ? value : state;
        offset = span_eq(key, SPAN("offset")) ? value : offset;
        lag = span_eq(key, SPAN("lag")) ? value : lag;
    }
    struct buf at = {0};
    uint64_t has = number_of(offset);
    buf_printf(&at, "%.*s:%.*s", SPAN_ARG(ip), SPAN_ARG(port));
    buf_append(row, row->ptr[row->len - 1] == '[' ? SPAN("{\"at\":") : SPAN(",{\"at\":"));
    json_quote_cut(buf_span(&at), SERVER_TEXT_MOST, row);
    print_text(row, "state", state);
    print_number(row, "lag", lag);
    buf_printf(row, ",\"behind\":%" PRIu64 "}", written > has ? written - has : 0);
    buf_free(&at);
}

static void print_replicas(struct buf *row, struct span info)
{
    uint64_t written = number_of(field_of(info, "master_repl_offset"));
    uint64_t count = number_of(field_of(info, "connected_slaves"));
    buf_printf(row, ",\"replicas\":%" PRIu64 ",\"followers\":[", count);
    for (unsigned i = 0; i < count && i < SERVER_REPLICAS; i++) {
        char name[24];
        snprintf(name, sizeof(name), "slave%u", i);
        struct span replica = field_of(info, name);
        if (replica.len > 0) {
            print_replica(row, replica, written);
        }
    }
    buf_append(row, SPAN("]"));
}

static void print_info(struct buf *row, struct span info)
{
    static const char *const numbers[][2] = {{"used", "used_memory"},
                                             {"most", "maxmemory"},
                                             {"commands", "instantaneous_ops_per_sec"},
                                             {"clients", "connected_clients"},
                                             {"up", "uptime_in_seconds"},
                                             {"evicted", "evicted_keys"}};
    struct span valkey = field_of(info, "valkey_version");
    print_text(row, "kind", valkey.len > 0 ? SPAN("Valkey") : SPAN("Redis"));
    print_text(row, "version", valkey.len > 0 ? valkey : field_of(info, "redis_version"));
    print_text(row, "role", field_of(info, "role"));
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
        print_number(row, numbers[i][0], field_of(info, numbers[i][1]));
    }
    print_replicas(row, info);
}

static struct known_server *find(struct fleet_servers *servers, const char *name)
{
    for (size_t i = 0; i < servers->count; i++) {
        if (strcmp(servers->of[i].name, name) == 0) {
            return &servers->of[i];
        }
    }
    return NULL;
}

static void on_server(void *arg, const struct store_server *server)
{
    struct fleet_servers *servers = arg;
    struct known_server *known = server->name != NULL             ? find(servers, server->name)
                                 : server->shard < servers->count ? &servers->of[server->shard]
                                                                  : NULL;
    if (known == NULL) {
        return;
    }
    known->row.len = 0;
    buf_append(&known->row, SPAN("{\"name\":"));
    json_quote_cut(span_str(known->name), SERVER_TEXT_MOST, &known->row);
    print_text(&known->row, "at", known->at != NULL ? span_str(known->at) : span_of(NULL, 0));
    buf_printf(&known->row, ",\"ms\":%.2f", (double)server->answer_us / 1000);
    if (server->info.len > 0) {
        print_info(&known->row, server->info);
    }
    buf_append(&known->row, SPAN("}"));
    servers->answered_ms = clock_unix_ms();
}

/* ------------------------------------------------------------------------------------ looking */

static void keep(char **at, struct span text)
{
    free(*at);
    *at = mem_dup(text);
}

static void tell_failed_over(const struct fleet_servers *servers, const char *what, const char *now,
                             const char *before)
{
    struct buf text = {0};
    buf_printf(&text, "%s failed over: %s serves it now, before it was %s", what, now, before);
    servers->fn(servers->arg, buf_text(&text));
    buf_free(&text);
}

static void tell_began_again(const struct fleet_servers *servers, const char *name)
{
    struct buf text = {0};
    buf_printf(&text,
               "Redis %s began a new history: it was restarted, or another server took its place",
               name);
    servers->fn(servers->arg, buf_text(&text));
    buf_free(&text);
}

static void remove_at(struct fleet_servers *servers, size_t i)
{
    struct known_server *gone = &servers->of[i];
    free(gone->name);
    free(gone->at);
    free(gone->timeline);
    buf_free(&gone->row);
    servers->count--;
    memmove(gone, gone + 1, (servers->count - i) * sizeof(*gone));
    servers->of[servers->count] = (struct known_server){0};
}

/* Servers of a list keep their names. Where another name comes after one has gone, it took over what that
 * one had of the cluster. */
static void match_newcomers(struct fleet_servers *servers)
{
    size_t gone = servers->count, newcomer = servers->count;
    for (size_t i = 0; i < servers->count; i++) {
        struct known_server *one = &servers->of[i];
        gone = one->missing > 0 && one->at != NULL ? i : gone;
        newcomer = one->fresh && one->at != NULL ? i : newcomer;
        one->fresh = one->fresh && one->at == NULL;
    }
    if (gone < servers->count && newcomer < servers->count) {
        tell_failed_over(servers, "a part of the Redis Cluster", servers->of[newcomer].name,
                         servers->of[gone].name);
        remove_at(servers, gone);
    }
}

/* "host port" that a link leads to, and the history that it found there, belong together once the link is
 * up. A server whose replicas are long gone begins a new history, too, and no link breaks: that is no
 * news. */
static void compare(struct fleet_servers *servers, struct known_server *known,
                    const struct store_place *place)
{
    uint64_t reconnects = store_stats(servers->store)->reconnects;
    bool other = known->timeline != NULL && known->reconnects != reconnects &&
                 !span_eq(span_str(known->timeline), place->timeline);
    if (known->at != NULL && strcmp(known->at, place->at) != 0) {
        struct buf what = {0};
        buf_printf(&what, "Redis %s", place->name);
        tell_failed_over(servers, buf_text(&what), place->at, known->at);
        buf_free(&what);
    } else if (other) {
        tell_began_again(servers, place->name);
    }
    keep(&known->at, span_str(place->at));
    keep(&known->timeline, place->timeline);
    known->reconnects = reconnects;
}

static void look_at(void *arg, const struct store_place *place)
{
    struct fleet_servers *servers = arg;
    struct known_server *known = find(servers, place->name);
    if (known == NULL) {
        if (servers->count == SERVERS_MOST) {
            return;
        }
        known = &servers->of[servers->count++];
        keep(&known->name, span_str(place->name));
        known->fresh = true;
    }
    known->missing = 0;
    if (place->well && place->at != NULL && place->timeline.len > 0) {
        compare(servers, known, place);
    }
}

static void forget_missing(struct fleet_servers *servers)
{
    for (size_t i = servers->count; i-- > 0;) {
        if (servers->of[i].missing > MISSING_MOST) {
            remove_at(servers, i);
        }
    }
}

/* The embedded store has no server to ask. */
static void ask(struct fleet_servers *servers)
{
    struct buf *row = &servers->of[0].row;
    if (store_inspect(servers->store, on_server, servers) == 0 && servers->count == 1 &&
        servers->of[0].at == NULL && store_ready(servers->store)) {
        row->len = 0;
        buf_append(row, SPAN("{\"name\":\"memory\",\"kind\":\"memory\"}"));
        servers->answered_ms = clock_unix_ms();
    }
}

void fleet_servers_look(struct fleet_servers *servers, bool asks)
{
    for (size_t i = 0; i < servers->count; i++) {
        servers->of[i].missing++;
    }
    store_each_server(servers->store, look_at, servers);
    match_newcomers(servers);
    forget_missing(servers);
    if (!asks) {
        servers->looks = 0;
        servers->answered_ms = 0;
    } else if (servers->answered_ms == 0 || ++servers->looks % SERVERS_LOOKS == 0) {
        ask(servers);
    }
}

/* One that could not be asked so far has at least its name there. */
static void print_row(const struct known_server *known, struct buf *out)
{
    if (known->row.len > 0) {
        buf_append(out, buf_span(&known->row));
    } else {
        buf_append(out, SPAN("{\"name\":"));
        json_quote_cut(span_str(known->name), SERVER_TEXT_MOST, out);
        buf_append(out, SPAN("}"));
    }
}

bool fleet_servers_print(const struct fleet_servers *servers, const char *node, struct buf *out)
{
    if (servers->answered_ms == 0) {
        return false;
    }
    buf_append(out, SPAN("{\"by\":"));
    json_quote(span_str(node), out);
    buf_printf(out, ",\"time\":%" PRIu64 ",\"servers\":[", servers->answered_ms);
    const char *comma = "";
    for (size_t i = 0; i < servers->count; i++) {
        if (servers->of[i].missing == 0) {
            buf_printf(out, "%s", comma);
            print_row(&servers->of[i], out);
            comma = ",";
        }
    }
    buf_append(out, SPAN("]}"));
    return true;
}

static void print_if_away(void *arg, const struct store_place *place)
{
    struct buf *out = arg;
    if (!place->well) {
        buf_append(out, out->ptr[out->len - 1] == '[' ? SPAN("") : SPAN(","));
        json_quote_cut(span_str(place->name), SERVER_TEXT_MOST, out);
    }
}

void fleet_servers_print_away(const struct store *store, struct buf *out)
{
    buf_append(out, SPAN("["));
    store_each_server(store, print_if_away, out);
    buf_append(out, SPAN("]"));
}

/* ------------------------------------------------------------------------------------ life */

struct fleet_servers *fleet_servers_new(struct store *store, fleet_servers_fn *fn, void *arg)
{
    struct fleet_servers *servers = mem_zalloc(sizeof(*servers));
    servers->store = store;
    servers->fn = fn;
    servers->arg = arg;
    return servers;
}

void fleet_servers_free(struct fleet_servers **servers)
{
    struct fleet_servers *gone = *servers;
    if (gone == NULL) {
        return;
    }
    *servers = NULL;
    while (gone->count > 0) {
        remove_at(gone, gone->count - 1);
    }
    free(gone);
}
