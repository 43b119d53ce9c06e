/* SPDX-License-Identifier: MIT */
/* What other nodes have written about themselves into the store, and what its servers say: the fleet's page shows
 * it. Each line of the input is one thing that happens while a page is open:
 *
 *     n NAME TAB VALUE   a place in the roster of nodes (with " lists" or " servers" behind the name: those)
 *     g NAME             it goes
 *     p NAME TAB VALUE   a place in the roster of who is present
 *     q NAME             it goes
 *     e VALUE            an event
 *     s NAME TAB AT TAB HISTORY   a server of the store ('!' before the name: it is away)
 *     i INFO             what servers say from here on, '|' for the end of a line
 *     l                  another node looks
 *     w WORDS            what is wrong with this node; none: it is well
 *     o                  the store goes, or comes back
 *     m                  what is counted grows
 *     x                  this node leaves
 *     t, T               seconds pass
 *
 * Whatever it is, each message to the page and the answer of /api/status is a valid JSON object. */
#include "fuzz_peer.h"

#include "node/service/fleet/fleet.h"
#include "store/bus.h"
#include "store/history/history.h"
#include "store/inspect.h"
#include "store/memory/memory.h"
#include "store/roster/roster.h"

#include <jansson.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>

enum { SERVERS = 4, SOON_MS = 600, SHORT_MS = 2500, LONG_MS = 11000, LONG_LIST = 16 * 1024 };

static struct server_told {
    struct span name, at, timeline;
} servers[SERVERS];
static size_t server_count;
static struct span info;
static struct span rest;     /* of the input */
static struct store *others; /* the store, as another node has it */
static struct fleet *fleet;
static struct metrics *metrics;
static char *wrong;
static bool away;
static uint64_t ahead_ms;

/* In place of the C library's: time passes when the input says so. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
    int rc = (int)syscall(SYS_clock_gettime, clock, now);
    if (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE) {
        uint64_t ns = (uint64_t)now->tv_nsec + ahead_ms % 1000 * 1000000U;
        now->tv_sec += (time_t)(ahead_ms / 1000 + ns / 1000000000U);
        now->tv_nsec = (long)(ns % 1000000000U);
    }
    return rc;
}

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

/* ------------------------------------------------------------------------------------ the servers */

void __wrap_store_each_server(const struct store *of,
                              void (*fn)(void *arg, const struct store_place *place), void *arg);
unsigned __wrap_store_inspect(struct store *of, store_server_fn *fn, void *arg);

bool __wrap_store_ready(const struct store *of);
bool __real_store_ready(const struct store *of);

bool __wrap_store_ready(const struct store *of)
{
    return !away && __real_store_ready(of);
}

void __wrap_store_each_server(const struct store *of,
                              void (*fn)(void *arg, const struct store_place *place), void *arg)
{
    (void)of;
    for (size_t i = 0; i < server_count; i++) {
        struct span name = servers[i].name;
        bool gone = name.len > 0 && name.ptr[0] == '!';
        char *text = mem_dup(span_skip(name, gone ? 1 : 0));
        char *at = servers[i].at.len > 0 ? mem_dup(servers[i].at) : NULL;
        const struct store_place place = {
            .name = text, .at = at, .timeline = servers[i].timeline, .well = !gone};
        fn(arg, &place);
        free(text);
        free(at);
    }
    if (server_count == 0) {
        fn(arg, &(struct store_place){.name = "memory", .well = true});
    }
}

unsigned __wrap_store_inspect(struct store *of, store_server_fn *fn, void *arg)
{
    (void)of;
    for (size_t i = 0; i < server_count; i++) {
        char *text = mem_dup(info);
        char *name = mem_dup(servers[i].name);
        for (char *at = text; *at != '\0'; at++) {
            *at = *at == '|' ? '\n' : *at;
        }
        fn(arg, &(struct store_server){.shard = (unsigned)i,
                                       .name = i % 2 == 0 ? NULL : name,
                                       .info = span_str(text),
                                       .answer_us = 1500});
        free(text);
        free(name);
    }
    return (unsigned)server_count;
}

static void add_server(struct span line)
{
    struct server_told told = {.name = span_cut(&line, '\t'), .at = span_cut(&line, '\t')};
    told.timeline = line;
    servers[server_count % SERVERS] = told;
    server_count += server_count < SERVERS;
}

/* ------------------------------------------------------------------------------------ what happens */

static void grow(void)
{
    for (int i = 0; i < METRIC_COUNT; i++) {
        metrics->value[i]++;
    }
}

/* What happens to this node. */
static void happen_here(char kind, struct span line)
{
    if (kind == 'w') {
        free(wrong);
        wrong = line.len > 0 ? mem_dup(line) : NULL;
    } else if (kind == 'o') {
        away = !away;
    } else if (kind == 'm') {
        grow();
    } else if (kind == 'x') {
        fleet_leave(fleet);
    } else if (kind == 'l') {
        must(bus_publish(others, SPAN("fleet look"), SPAN("look")) == 0, "a bus");
    } else {
        ahead_ms += kind == 'T' ? LONG_MS : SHORT_MS;
    }
}

static void happen(struct span line)
{
    char kind = line.ptr[0];
    line = span_skip(line, 1);
    struct span value = line, name = span_cut(&value, '\t');
    struct span key = kind == 'n' || kind == 'g' ? SPAN("nodes") : SPAN("presence");
    if (kind == 'n' || kind == 'p') {
        roster_claim(others, key, name, value);
    } else if (kind == 'g' || kind == 'q') {
        roster_release(others, key, name);
    } else if (kind == 'e') {
        const struct history_append append = {
            .key = SPAN("fleet events"), .value = line, .most = 100, .wait_ms = 1000};
        must(history_append(others, &append) == 0, "room for an event");
    } else if (kind == 's') {
        add_server(line);
    } else if (kind == 'i') {
        info = line;
    } else {
        happen_here(kind, line);
    }
}

static bool happens(void)
{
    while (rest.len > 0) {
        struct span line = span_cut(&rest, '\n');
        if (line.len > 0) {
            happen(line);
            return true;
        }
    }
    return false;
}

static unsigned passing;

/* Until what is waited for has had its time. */
static bool passes(void)
{
    ahead_ms += SOON_MS;
    return passing-- > 0;
}

/* ------------------------------------------------------------------------------------ what is told */

static void check_object(struct span text, const char *what)
{
    json_error_t error;
    json_t *object = json_loadb(text.ptr, text.len, JSON_ALLOW_NUL, &error);
    if (object == NULL) {
        fprintf(stderr, "%s: %.*s\n", error.text, SPAN_ARG(text));
    }
    must(json_is_object(object), what);
    json_decref(object);
}

static struct span behind_head(const struct buf *out)
{
    const char *end = memmem(out->ptr, out->len, "\r\n\r\n", 4);
    must(end != NULL, "an answer");
    return span_of(end + 4, out->len - (size_t)(end + 4 - out->ptr));
}

static void check_page(const struct buf *out)
{
    struct span left = behind_head(out);
    while (left.len >= 2) {
        const unsigned char *head = (const unsigned char *)left.ptr;
        size_t len = head[1], skip = 2;
        if (len == 126) {
            len = (size_t)head[2] << 8 | head[3];
            skip = 4;
        } else if (len == 127) {
            len = (size_t)head[6] << 24 | (size_t)head[7] << 16 | (size_t)head[8] << 8 | head[9];
            skip = 10;
        }
        must(left.len >= skip + len, "a whole frame");
        if ((head[0] & 15) == 1) {
            check_object(span_of(left.ptr + skip, len), "a message is an object");
        }
        left = span_skip(left, skip + len);
    }
}

/* ------------------------------------------------------------------------------------ a run */

static const char *trouble(void *arg)
{
    (void)arg;
    return wrong;
}

static void print_more(void *arg, struct buf *out)
{
    (void)arg;
    buf_append(out, SPAN(",\"postgres\":{\"up\":true}"));
}

static void print_list(void *arg, struct buf *out)
{
    const size_t *len = arg;
    buf_append(out, SPAN("{\"rows\":[\""));
    for (size_t i = 0; i < *len; i++) {
        buf_append(out, SPAN("x"));
    }
    buf_append(out, SPAN("\"],\"more\":0}"));
}

static void get(struct fuzz_peer *peer, const char *path, const char *what)
{
    struct buf in = {0}, out = {0};
    buf_printf(&in, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    passing = LONG_MS / SOON_MS;
    fuzz_play(peer, buf_span(&in), 0, &out, passes);
    if (what != NULL) {
        check_object(behind_head(&out), what);
    }
    buf_free(&in);
    buf_free(&out);
}

static void look(struct fuzz_peer *peer)
{
    struct buf page = {0}, in = {0};
    fuzz_add_handshake(&in, "/api/status/live");
    fuzz_add_frame(&in, SPAN("hi"));
    fuzz_play(peer, buf_span(&in), 0, &page, happens);
    check_page(&page);
    get(peer, "/api/status", "the answer is an object");
    get(peer, "/api/status", "and what is told again");
    get(peer, "/favicon.svg", NULL);
    buf_free(&page);
    buf_free(&in);
}

static struct store *open_store(const struct fuzz_peer *peer, struct memory_hub *hub,
                                const char *node)
{
    char error[128];
    const struct store_options options = {.base = loop_base(peer->loop),
                                          .url = "memory:",
                                          .hub = hub,
                                          .prefix = "fuzz",
                                          .node = node,
                                          .lease_ms = 10000};
    struct store *store = store_open(&options, error, sizeof(error));
    must(store != NULL, error);
    return store;
}

static void run(struct fuzz_peer *peer, struct store *store)
{
    static size_t lens[] = {3, LONG_LIST};
    const struct fleet_options options = {.loop = peer->loop,
                                          .store = store,
                                          .metrics = &peer->metrics,
                                          .node = "node",
                                          .kind = "node",
                                          .zone = "zone",
                                          .http = "127.0.0.1:1",
                                          .token = "",
                                          .trouble = trouble,
                                          .more = print_more};
    fleet = fleet_new(peer->server, &options);
    fleet_show(fleet, &(struct fleet_list){"short", print_list, &lens[0]});
    fleet_show(fleet, &(struct fleet_list){"long", print_list, &lens[1]});
    look(peer);
    net_free(&peer->net);
    fleet_free(&fleet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_peer peer = {0};
    peer.loop = loop_new();
    struct wheel *wheel = wheel_new(peer.loop);
    const struct net_limits limits = {.queue = 16 << 20, .connections = 4};
    peer.net = net_new(peer.loop, wheel, &peer.metrics, &limits);
    peer.server = http_server_new(peer.net, &fuzz_http_options);
    loop_at_turn_end(peer.loop, fuzz_stop, peer.loop);
    struct memory_hub *hub = memory_hub_new();
    struct store *store = open_store(&peer, hub, "node");
    others = open_store(&peer, hub, "other");
    metrics = &peer.metrics;
    server_count = 0;
    away = false;
    info = span_of(NULL, 0);
    rest = span_of(data, size);
    run(&peer, store);
    http_server_free(&peer.server);
    store_close(&store);
    store_close(&others);
    memory_hub_free(&hub);
    wheel_free(&wheel);
    loop_free(&peer.loop);
    free(wrong);
    wrong = NULL;
    return 0;
}
