/* SPDX-License-Identifier: MIT */
/* A session with so many members that one turn has no time for all: what they are told of it, and when. A work of the
 * loop beside takes as long as a step does (fake_clock.c); another node says whether there is a leader. */
#include "node/net/work.h"
#include "node/service/sync/session.h"
#include "store/bus_impl.h"
#include "store/memory/memory.h"
#include "store/roster/roster.h"
#include "tests/unit/proto/peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

enum {
    MEMBERS = 2000,
    OTHERS = 40, /* who come later */
    DESCRIPTORS = 8192,
    STEP_US = 100,
    TURN_MOST = 700, /* messages, or members that are heard again */
};

struct member {
    struct sync_seat seat;
    struct ws *ws;
    int fd;
    unsigned settled, heard; /* times, messages */
    unsigned least, last;    /* members that it was told of */
    bool leader;             /* as told last */
};

struct session_bench {
    struct peer *peer;
    struct memory_hub *hub;
    struct store *store, *other;
    struct sync_sessions *sessions;
    struct net_work beside;
    struct member members[MEMBERS + OTHERS];
    unsigned count, settled;
};

static struct session_bench *bench;

void sync_seat_settled(struct sync_seat *seat)
{
    CONTAINER_OF(seat, struct member, seat)->settled++;
    bench->settled++;
}

static bool take_time(struct net_work *work)
{
    (void)work;
    usleep(STEP_US);
    return true;
}

static void on_message(void *arg, enum ws_kind kind, struct span payload)
{
    (void)arg, (void)kind, (void)payload;
}

static void on_closed(void *arg)
{
    struct member *member = arg;
    sync_session_leave(&member->seat);
}

static void serve(void *arg, struct http_request *request)
{
    static const struct ws_handler handler = {.message = on_message, .closed = on_closed};
    struct member *member = &bench->members[bench->count++];
    (void)arg;
    sync_seat_init(&member->seat);
    member->ws = ws_accept(request, &handler, member);
}

static void open_one(void)
{
    static const char shake[] =
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    struct peer *peer = bench->peer;
    unsigned before = bench->count;
    peer_connect(peer);
    peer_write(peer, SPAN(shake));
    while (bench->count == before || peer->got.len == 0) {
        peer_turn(peer);
    }
    bench->members[before].fd = peer->fd;
    peer->fd = -1;
    buf_free(&peer->got);
}

static struct store *open_store(const char *node)
{
    char error[200];
    struct store *store = store_open(&(struct store_options){.base = loop_base(bench->peer->loop),
                                                             .url = "memory:",
                                                             .hub = bench->hub,
                                                             .prefix = "t",
                                                             .node = node,
                                                             .lease_ms = 60000},
                                     error, sizeof(error));
    assert_non_null(store);
    return store;
}

/* In none of the turns too many are told something, or heard again. */
static void turn(unsigned turns)
{
    const uint64_t *said = &bench->peer->metrics.value[METRIC_DELIVERIES];
    for (; turns > 0; turns--) {
        uint64_t before = *said;
        unsigned settled = bench->settled;
        peer_turn(bench->peer);
        assert_in_range(*said - before, 0, TURN_MOST);
        assert_in_range(bench->settled - settled, 0, TURN_MOST);
    }
}

static void hear_one(struct member *member, struct span text)
{
    char state[128];
    assert_true(text.len < sizeof(state));
    memcpy(state, text.ptr, text.len);
    state[text.len] = '\0';
    const char *players = strstr(state, "\"playersCount\":");
    assert_non_null(players);
    member->last = (unsigned)strtoul(players + strlen("\"playersCount\":"), NULL, 10);
    member->leader = strstr(state, "true") != NULL;
    member->least =
        member->heard++ == 0 || member->last < member->least ? member->last : member->least;
}

/* Frames of less than 126 bytes. */
static void hear(struct member *member)
{
    char bytes[65536];
    ssize_t got = recv(member->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    for (ssize_t at = 0; at < got; at += 2 + bytes[at + 1]) {
        assert_in_range(bytes[at + 1], 1, 125);
        hear_one(member, span_of(bytes + at + 2, (size_t)bytes[at + 1]));
    }
}

static void hear_all(void)
{
    for (unsigned i = 0; i < bench->count; i++) {
        bench->members[i].heard = bench->members[i].settled = 0;
        hear(&bench->members[i]);
    }
}

static void join(unsigned i)
{
    sync_session_join(bench->sessions, SPAN("s"), &bench->members[i].seat, bench->members[i].ws,
                      false);
}

static int setup(void **state)
{
    static const struct http_options options = {.header_limit = 4096,
                                                .body_limit = 100,
                                                .request_ms = 500000,
                                                .keep_alive_ms = 500000,
                                                .ws_message_limit = 1000};
    struct rlimit most;
    (void)state;
    getrlimit(RLIMIT_NOFILE, &most);
    most.rlim_cur = DESCRIPTORS;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &most), 0);
    bench = mem_zalloc(sizeof(*bench));
    bench->peer = peer_new(&options, 1 << 16, MEMBERS + OTHERS);
    http_route_websocket(bench->peer->server, "/", serve, NULL);
    bench->hub = memory_hub_new();
    bench->store = open_store("here");
    bench->other = open_store("there");
    bench->sessions = sync_sessions_new(&(struct sync_sessions_options){
        .store = bench->store, .metrics = &bench->peer->metrics, .node = "here"});
    while (bench->count < MEMBERS + OTHERS) {
        open_one();
    }
    net_work_init(&bench->beside, take_time);
    net_work_queue(bench->peer->net, &bench->beside);
    for (unsigned i = 0; i < MEMBERS; i++) {
        join(i);
    }
    turn(200);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    net_work_cancel(&bench->beside);
    for (unsigned i = 0; i < bench->count; i++) {
        close(bench->members[i].fd);
    }
    net_free(&bench->peer->net);
    sync_sessions_free(&bench->sessions);
    store_close(&bench->store);
    store_close(&bench->other);
    memory_hub_free(&bench->hub);
    peer_free(bench->peer);
    free(bench);
    return 0;
}

/* setup() has them come all at once. */
static void test_who_comes_is_told_and_heard_again(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MEMBERS; i++) {
        assert_int_equal(bench->members[i].settled, 1);
        hear(&bench->members[i]);
        assert_int_equal(bench->members[i].heard, 1);
        assert_int_equal(bench->members[i].last, MEMBERS);
    }
}

/* Nothing changes: who asks is told, and nobody else. */
static void test_who_asks_again_is_told_alone(void **state)
{
    (void)state;
    hear_all();
    for (unsigned i = 0; i < MEMBERS; i += 4) {
        for (unsigned j = i; j < i + 3; j++) {
            sync_session_set_role(&bench->members[j].seat, false);
        }
    }
    hear_all();
    turn(200);
    hear_all();
    for (unsigned i = 0; i < MEMBERS; i++) {
        assert_int_equal(bench->members[i].heard, i % 4 < 3 ? 1 : 0);
    }
}

/* While others are told of a change, and members come that it does not count. */
static void test_nobody_is_told_of_a_session_without_itself(void **state)
{
    (void)state;
    hear_all();
    for (unsigned i = MEMBERS; i < MEMBERS + OTHERS; i++) {
        roster_claim(bench->other, SPAN("sync:s"), SPAN("there"), span_str(i % 2 ? "0 1" : "0 0"));
        turn(i % 5);
        join(i);
        turn(i % 3);
    }
    turn(2000);
    for (unsigned i = 0; i < MEMBERS + OTHERS; i++) {
        struct member *member = &bench->members[i];
        hear(member);
        assert_true(member->heard > 0);
        assert_in_range(member->least, i < MEMBERS ? MEMBERS : i + 1, MEMBERS + OTHERS);
        assert_int_equal(member->last, MEMBERS + OTHERS);
        assert_true(member->leader);
    }
}

/* All have missed something, and are told again what holds. */
static void test_a_gap_has_all_told_again(void **state)
{
    (void)state;
    hear_all();
    bus_attended_gap(bench->store, 0);
    join(MEMBERS);
    turn(200);
    hear_all();
    for (unsigned i = 0; i <= MEMBERS; i++) {
        assert_in_range(bench->members[i].heard, 1, 2);
        assert_int_equal(bench->members[i].last, MEMBERS + 1);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_who_comes_is_told_and_heard_again),
        TEST(test_who_asks_again_is_told_alone),
        TEST(test_nobody_is_told_of_a_session_without_itself),
        TEST(test_a_gap_has_all_told_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
