/* SPDX-License-Identifier: MIT */
/* A network between a node that is built here and one that the test plays on the same hub: it can
 * say and claim in orders that real nodes seldom do. Servers write to a text what they are told. */
#include "node/service/relay/network.h"

#include "node/core/wheel.h"
#include "node/net/net.h"
#include "node/net/work.h"
#include "node/service/relay/early.h"
#include "store/base/clock.h"
#include "store/bus.h"
#include "store/memory/memory.h"
#include "store/roster/roster.h"
#include "tests/unit/cmocka_all.h"

#include <inttypes.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEY SPAN("relay:test")

struct bench;

struct server {
    struct relay_seat seat;
    struct relay_paced out;
    struct bench *bench;
    int peer;
    bool admitted, unlisted, displaced;
    struct buf told;
};

struct bench {
    struct loop *loop;
    struct wheel *wheel;
    struct metrics metrics;
    struct memory_hub *hub;
    struct store *store, *other;
    struct net *net;
    struct relay_pacer *pacer;
    struct limit_table *by_address;
    struct relay_network *network;
    struct event *stop;
    struct net_work beside; /* takes time: fake_clock.c */
    struct server one, two;
    uint64_t turn; /* of the last admission; how many it had, and the most that one had */
    int in_turn, most_in_turn;
};

/* Here the test stands in for client.c. */

bool relay_seat_has_left(struct relay_seat *seat)
{
    return conn_peer_left(CONTAINER_OF(seat, struct server, seat)->out.conn);
}

void relay_seat_admitted(struct relay_seat *seat)
{
    struct server *server = CONTAINER_OF(seat, struct server, seat);
    struct bench *bench = server->bench;
    server->admitted = true;
    bench->in_turn = bench->turn == loop_turn(bench->loop) ? bench->in_turn + 1 : 1;
    bench->turn = loop_turn(bench->loop);
    bench->most_in_turn =
        bench->in_turn > bench->most_in_turn ? bench->in_turn : bench->most_in_turn;
}

void relay_seat_listed(struct relay_seat *seat, bool listed)
{
    CONTAINER_OF(seat, struct server, seat)->unlisted = !listed;
}

void relay_seat_displaced(struct relay_seat *seat)
{
    CONTAINER_OF(seat, struct server, seat)->displaced = true;
}

static struct store *open_store(struct bench *bench, const char *node)
{
    char error[200];
    return store_open(&(struct store_options){.base = loop_base(bench->loop),
                                              .url = "memory:",
                                              .prefix = "t",
                                              .node = node,
                                              .lease_ms = 1000,
                                              .hub = bench->hub},
                      error, sizeof(error));
}

static void on_stop(evutil_socket_t fd, short what, void *arg)
{
    struct bench *bench = arg;
    (void)fd, (void)what;
    loop_stop(bench->loop);
}

static void read_told(struct server *server)
{
    char text[2000];
    ssize_t n;
    while (server->out.conn != NULL &&
           (n = recv(server->peer, text, sizeof(text), MSG_DONTWAIT)) > 0) {
        buf_append(&server->told, span_of(text, (size_t)n));
    }
}

static void run_ms(struct bench *bench, unsigned ms)
{
    struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    evtimer_add(bench->stop, &wait);
    loop_run(bench->loop);
    read_told(&bench->one);
    read_told(&bench->two);
}

static size_t on_data(void *arg, struct span bytes)
{
    (void)arg;
    return bytes.len;
}

static void on_closed(void *arg, enum conn_end how)
{
    (void)arg, (void)how;
}

static const struct conn_handler handler = {.data = on_data, .closed = on_closed};

static void join_from(struct bench *bench, struct server *server, const char *look,
                      const struct address *from)
{
    int fds[2];
    server->bench = bench;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    server->peer = fds[1];
    struct conn *conn = conn_new(bench->net, fds[0], from, &handler, server);
    relay_paced_init(&server->out, bench->pacer, conn);
    relay_network_join(bench->network, &server->seat, &server->out, conn_peer(conn), span_str(look),
                       4);
}

static void join(struct bench *bench, struct server *server, const char *look)
{
    join_from(bench, server, look, &(struct address){.port = 1});
}

static int set_up(void **state)
{
    struct bench *bench = mem_zalloc(sizeof(*bench));
    bench->loop = loop_new();
    bench->wheel = wheel_new(bench->loop);
    bench->hub = memory_hub_new();
    bench->store = open_store(bench, "here");
    bench->other = open_store(bench, "there");
    bench->net = net_new(bench->loop, bench->wheel, &bench->metrics,
                         &(struct net_limits){.queue = 1 << 20, .connections = 9});
    bench->pacer = relay_pacer_new(&(struct relay_pacer_options){
        .loop = bench->loop, .metrics = &bench->metrics, .on = false});
    bench->stop = evtimer_new(loop_base(bench->loop), on_stop, bench);
    bench->by_address = limit_table_new(1, 2);
    bench->network = relay_network_new(SPAN("test"), &(struct relay_network_options){
                                                         .store = bench->store,
                                                         .metrics = &bench->metrics,
                                                         .node = "here",
                                                         .net = bench->net,
                                                         .by_address = bench->by_address,
                                                     });
    list_init(&bench->one.seat.entry);
    list_init(&bench->two.seat.entry);
    *state = bench;
    return 0;
}

static void leave(struct server *server)
{
    relay_network_leave(&server->seat);
    if (server->out.conn != NULL) {
        relay_paced_deinit(&server->out);
        close(server->peer);
    }
    buf_free(&server->told);
}

static int tear_down(void **state)
{
    struct bench *bench = *state;
    leave(&bench->one);
    leave(&bench->two);
    relay_network_free(&bench->network);
    net_free(&bench->net);
    relay_pacer_free(&bench->pacer);
    limit_table_free(&bench->by_address);
    event_free(bench->stop);
    store_close(&bench->store);
    store_close(&bench->other);
    memory_hub_free(&bench->hub);
    wheel_free(&bench->wheel);
    loop_free(&bench->loop);
    free(bench);
    return 0;
}

static void expect_told(struct server *server, const char *text)
{
    assert_string_equal(buf_text(&server->told), text);
    server->told.len = 0;
}

static void claim_there(struct bench *bench, const char *id, const char *value)
{
    roster_claim(bench->other, KEY, span_str(id), span_str(value));
}

static void packets_wait_for_their_sender(void **state)
{
    struct bench *bench = *state;
    join(bench, &bench->one, "ONE");
    run_ms(bench, 50);
    assert_true(bench->one.admitted);
    expect_told(&bench->one, "");
    bus_publish(bench->other, KEY, SPAN("77 [a]"));
    bus_publish(bench->other, KEY, SPAN("88 [never]"));
    bus_publish(bench->other, KEY, SPAN("77 [b]"));
    run_ms(bench, 50);
    expect_told(&bench->one, "");
    claim_there(bench, "77", "there 3 LOOK");
    run_ms(bench, 50);
    bus_publish(bench->other, KEY, SPAN("77 [c]"));
    run_ms(bench, 50);
    expect_told(&bench->one,
                "{\"type\":\"connection\",\"identifier\":77,LOOK,\"playerCount\":3}[a][b][c]");
    roster_release(bench->other, KEY, SPAN("77"));
    bus_publish(bench->other, KEY, SPAN("77 [d]"));
    run_ms(bench, 50);
    bus_publish(bench->other, KEY, SPAN("77 [late]"));
    run_ms(bench, 50);
    const char *told = buf_text(&bench->one.told);
    told += strncmp(told, "[d]", 3) == 0 ? 3 : 0;
    assert_string_equal(told, "{\"type\":\"disconnect\",\"identifier\":77}");
}

static void rubbish_from_the_store_is_passed_over(void **state)
{
    struct bench *bench = *state;
    join(bench, &bench->one, "ONE");
    run_ms(bench, 50);
    static const char *const packets[] = {
        "", " ", "x [a]", "0 [a]", "-1 [a]", "[a]", "99999999999999999999 [a]"};
    for (size_t i = 0; i < sizeof(packets) / sizeof(*packets); i++) {
        bus_publish(bench->other, KEY, span_str(packets[i]));
    }
    claim_there(bench, "nobody", "there 3 LOOK");
    claim_there(bench, "5", "");
    run_ms(bench, 50);
    expect_told(&bench->one, "{\"type\":\"connection\",\"identifier\":5,,\"playerCount\":0}");
}

static void an_identifier_taken_twice(void **state)
{
    struct bench *bench = *state;
    char id[24];
    join(bench, &bench->one, "ONE");
    join(bench, &bench->two, "TWO");
    run_ms(bench, 50);
    assert_true(bench->one.admitted && bench->two.admitted);
    bench->two.told.len = 0;
    snprintf(id, sizeof(id), "%" PRIu64, bench->one.seat.id);
    claim_there(bench, id, "there 3 THIEF");
    run_ms(bench, 50);
    assert_true(bench->one.displaced);
    assert_false(bench->two.displaced);
    struct buf expected = {0};
    buf_printf(&expected,
               "{\"type\":\"disconnect\",\"identifier\":%s}"
               "{\"type\":\"connection\",\"identifier\":%s,THIEF,\"playerCount\":3}",
               id, id);
    run_ms(bench, 500); /* and the other's claim is left alone */
    assert_string_equal(buf_text(&bench->two.told), buf_text(&expected));
    buf_free(&expected);
}

/* The address has two joins at once, and one a second then. */
static void joins_are_held_back(void **state)
{
    struct bench *bench = *state;
    for (int i = 0; i < 2; i++) {
        join(bench, &bench->one, "ONE");
        run_ms(bench, 50);
        assert_true(bench->one.admitted);
        leave(&bench->one);
        bench->one = (struct server){0};
        list_init(&bench->one.seat.entry);
    }
    join(bench, &bench->one, "ONE");
    run_ms(bench, 50);
    assert_false(bench->one.admitted);
    assert_true(relay_network_is_held_back(&bench->one.seat));
    run_ms(bench, 1300);
    assert_true(bench->one.admitted);
    assert_false(relay_network_is_held_back(&bench->one.seat));
}

/* Nobody hears of it. Until it is admitted it is not read, as by the service. */
static void who_left_while_held_back_is_not_claimed(void **state)
{
    struct bench *bench = *state;
    join(bench, &bench->two, "TWO");
    run_ms(bench, 50);
    assert_true(limit_table_take(bench->by_address, conn_peer(bench->two.out.conn), 1,
                                 clock_monotonic_us()));
    join(bench, &bench->one, "ONE");
    conn_pause(bench->one.out.conn, CONN_PAUSE_SERVICE);
    shutdown(bench->one.peer, SHUT_RDWR);
    run_ms(bench, 2500);
    assert_false(bench->one.seat.claimed);
    assert_int_equal(bench->two.told.len, 0);
}

static void who_leaves_is_gone(void **state)
{
    struct bench *bench = *state;
    join(bench, &bench->one, "ONE");
    join(bench, &bench->two, "TWO");
    run_ms(bench, 50);
    uint64_t one = bench->one.seat.id, two = bench->two.seat.id;
    const struct map *directory = relay_network_directory(bench->network);
    assert_int_equal(directory->count, 2);
    assert_non_null(map_find(directory, span_of(&one, sizeof(one))));
    assert_non_null(map_find(directory, span_of(&two, sizeof(two))));
    relay_network_say(&bench->one.seat, SPAN("[a]"));
    relay_network_leave(&bench->one.seat);
    run_ms(bench, 50);
    struct buf expected = {0};
    buf_printf(&expected, "[a]{\"type\":\"disconnect\",\"identifier\":%" PRIu64 "}", one);
    struct span told = buf_span(&bench->two.told);
    assert_true(told.len >= expected.len);
    assert_memory_equal(told.ptr + told.len - expected.len, expected.ptr, expected.len);
    buf_free(&expected);
}

static void held_packets_are_bounded(void **state)
{
    struct bench *bench = *state;
    struct relay_early early;
    struct relay_room room;
    char big[RELAY_EARLY_BYTES / 4] = {0};
    join(bench, &bench->one, "ONE");
    relay_early_init(&early);
    relay_room_init(&room, bench->net, &bench->metrics);
    relay_room_add(&room, &bench->one.seat.member, &bench->one.out);
    assert_int_equal(relay_early_add(&early, 1, SPAN("a"), 1000), 0);
    assert_int_equal(relay_early_add(&early, 2, SPAN("b"), 1000), 0);
    assert_int_equal(relay_early_add(&early, 1, SPAN("c"), 1000), 0);
    relay_early_send(&early, 1, 1001, &room);
    relay_early_send(&early, 2, 1000 + RELAY_EARLY_MS, &room);
    relay_room_remove(&room, &bench->one.seat.member);
    relay_room_deinit(&room);
    run_ms(bench, 50);
    expect_told(&bench->one, "ac");
    assert_int_equal(early.bytes, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(relay_early_add(&early, 3, span_of(big, sizeof(big)), 2000), 0);
    }
    assert_int_equal(relay_early_add(&early, 3, span_of(big, sizeof(big)), 2000), 1);
    assert_int_equal(relay_early_add(&early, 3, SPAN("d"), 2000 + RELAY_EARLY_MS), 3);
    assert_true(early.bytes <= RELAY_EARLY_BYTES);
    relay_early_deinit(&early);
}

static void join_many(struct bench *bench, struct server *crowd, unsigned count)
{
    memset(crowd, 0, count * sizeof(*crowd));
    for (unsigned i = 0; i < count; i++) {
        struct address from = {.port = 1};
        from.ip[0] = (unsigned char)(i / 200 + 1);
        from.ip[1] = (unsigned char)(i % 200 + 1);
        join_from(bench, &crowd[i], "LOOK", &from);
    }
}

/* As much is done in a turn as works have time for. */
enum { BESIDE_US = 100, STEPS_PER_TURN = 6 };

static bool pass_time(struct net_work *work)
{
    (void)work;
    usleep(BESIDE_US);
    return true;
}

static void share_turns(struct bench *bench)
{
    net_work_init(&bench->beside, pass_time);
    net_work_queue(bench->net, &bench->beside);
}

static void leave_all(struct server *crowd, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        leave(&crowd[i]);
    }
}

/* Each is told of all others: many that come at once are not one turn of the loop. */
static void many_are_admitted_in_turns(void **state)
{
    enum { CROWD = 40 };
    static struct server crowd[CROWD];
    struct bench *bench = *state;
    share_turns(bench);
    join_many(bench, crowd, CROWD);
    run_ms(bench, 500);
    assert_int_equal(relay_network_admitted(bench->network), CROWD);
    assert_in_range(bench->most_in_turn, 1, STEPS_PER_TURN);
    for (int i = 0; i < CROWD; i++) {
        assert_true(crowd[i].admitted);
    }
    leave_all(crowd, CROWD);
}

/* What a turn had of something that is counted. */
struct per_turn {
    uint64_t (*count)(const void *arg);
    const void *arg;
    uint64_t before, most;
};

static void on_turn_end(void *arg)
{
    struct per_turn *turn = arg;
    uint64_t now = turn->count(turn->arg);
    turn->most = now - turn->before > turn->most ? now - turn->before : turn->most;
    turn->before = now;
}

static void count_turns(struct bench *bench, struct per_turn *turn)
{
    turn->before = turn->count(turn->arg);
    loop_at_turn_end(bench->loop, on_turn_end, turn);
}

static uint64_t count_deliveries(const void *arg)
{
    const struct bench *bench = arg;
    return bench->metrics.value[METRIC_DELIVERIES];
}

enum {
    RECEIVERS = 48,
    OTHERS = 100,
    FIRST_ID = 1000,
    TOLD_PER_STEP = 32,
    DELIVERED_MOST = RELAY_ROOM_TOLD_MOST + STEPS_PER_TURN * TOLD_PER_STEP, /* in a turn */
};

/* A turn's worth is less than all of them are told of one thing that happens: some of it waits. */
static void begin_with_many(struct bench *bench, struct server *crowd, struct per_turn *turn)
{
    share_turns(bench);
    join_many(bench, crowd, RECEIVERS);
    run_ms(bench, 500);
    assert_int_equal(relay_network_admitted(bench->network), RECEIVERS);
    for (int i = 0; i < RECEIVERS; i++) {
        read_told(&crowd[i]);
        crowd[i].told.len = 0;
    }
    *turn = (struct per_turn){.count = count_deliveries, .arg = bench};
    count_turns(bench, turn);
}

static void change_others(struct bench *bench, bool there)
{
    for (int i = 0; i < OTHERS; i++) {
        char id[24];
        snprintf(id, sizeof(id), "%d", FIRST_ID + i);
        if (there) {
            claim_there(bench, id, "there 3 LOOK");
        } else {
            roster_release(bench->other, KEY, span_str(id));
        }
    }
}

static void run_turns(struct bench *bench, uint64_t turns)
{
    for (uint64_t until = loop_turn(bench->loop) + turns; loop_turn(bench->loop) < until;) {
        run_ms(bench, 0);
    }
}

/* Until some of the news were told, and others not yet. */
static void run_into_the_midst(struct bench *bench)
{
    uint64_t before = count_deliveries(bench);
    while (count_deliveries(bench) == before) {
        run_turns(bench, 1);
    }
    assert_true(count_deliveries(bench) - before < (uint64_t)RECEIVERS * OTHERS);
}

static unsigned count_in(struct server *server, const char *what)
{
    unsigned count = 0;
    read_told(server);
    for (const char *at = buf_text(&server->told); (at = strstr(at, what)) != NULL; at++) {
        count++;
    }
    return count;
}

/* Each of the others came once, and went once where it did, in this order; and so many more came. */
static void expect_each_once(struct server *server, bool went, unsigned more)
{
    assert_int_equal(count_in(server, "\"connection\""), OTHERS + more);
    assert_int_equal(count_in(server, "\"disconnect\""), went ? OTHERS : 0);
    for (int i = 0; i < OTHERS; i++) {
        struct buf came = {0}, gone = {0};
        buf_printf(&came, "{\"type\":\"connection\",\"identifier\":%d,", FIRST_ID + i);
        buf_printf(&gone, "{\"type\":\"disconnect\",\"identifier\":%d}", FIRST_ID + i);
        const char *begin = strstr(buf_text(&server->told), buf_text(&came));
        assert_non_null(begin);
        assert_true(!went || strstr(begin, buf_text(&gone)) != NULL);
        buf_free(&came);
        buf_free(&gone);
    }
}

/* A hundred that come at once, or go at once, and many who are to be told. */
static void many_are_told_in_turns(void **state)
{
    static struct server crowd[RECEIVERS];
    struct bench *bench = *state;
    struct per_turn turn;
    begin_with_many(bench, crowd, &turn);
    change_others(bench, true);
    run_ms(bench, 100);
    assert_in_range(turn.most, 1, DELIVERED_MOST);
    change_others(bench, false);
    run_ms(bench, 100);
    assert_in_range(turn.most, 1, DELIVERED_MOST);
    for (int i = 0; i < RECEIVERS; i++) {
        expect_each_once(&crowd[i], true, 0);
    }
    leave_all(crowd, RECEIVERS);
}

/* What is said while arrivals wait to be told comes behind them, from here or there; who is admitted meanwhile is
 * told of each other server by the directory or later, never by both. */
static void what_is_said_waits_behind_arrivals(void **state)
{
    static struct server crowd[RECEIVERS];
    struct bench *bench = *state;
    struct per_turn turn;
    begin_with_many(bench, crowd, &turn);
    change_others(bench, true);
    run_into_the_midst(bench);
    relay_network_say(&crowd[0].seat, SPAN("[here]"));
    bus_publish(bench->other, KEY, SPAN("1099 [there]"));
    join(bench, &bench->one, "ONE");
    run_ms(bench, 100);
    assert_true(bench->one.admitted);
    for (int i = 0; i < RECEIVERS; i++) {
        expect_each_once(&crowd[i], false, 1);
        const char *last = strstr(buf_text(&crowd[i].told), "\"identifier\":1099,");
        assert_non_null(last);
        assert_non_null(strstr(last, "[there]"));
        assert_int_equal(count_in(&crowd[i], "[here]"), i > 0 ? 1 : 0);
        assert_int_equal(count_in(&crowd[i], "ONE"), 1);
    }
    assert_int_equal(count_in(&bench->one, "\"connection\""), 0); /* the directory had them all */
    leave_all(crowd, RECEIVERS);
}

/* The others are told everything all the same; who is to hear it out is told it all before. */
static void some_leave_while_news_wait(void **state)
{
    static struct server crowd[RECEIVERS];
    struct bench *bench = *state;
    struct per_turn turn;
    begin_with_many(bench, crowd, &turn);
    change_others(bench, true);
    run_into_the_midst(bench);
    uint64_t before = count_deliveries(bench);
    relay_network_tell_rest(&crowd[1].seat);
    relay_network_tell_rest(&crowd[RECEIVERS - 1].seat);
    assert_true(count_deliveries(bench) > before);
    for (int i = 0; i < RECEIVERS; i += 2) {
        relay_network_leave(&crowd[i].seat);
    }
    relay_network_leave(&crowd[1].seat);
    relay_network_leave(&crowd[RECEIVERS - 1].seat);
    run_ms(bench, 100);
    for (int i = 1; i < RECEIVERS; i += 2) {
        bool stayed = i != 1 && i != RECEIVERS - 1;
        assert_int_equal(count_in(&crowd[i], "\"connection\""), OTHERS);
        assert_int_equal(count_in(&crowd[i], "\"disconnect\""), stayed ? RECEIVERS / 2 + 2 : 0);
    }
    leave_all(crowd, RECEIVERS);
}

/* More than the line takes is told at once, or dropped where it may be. */
static void the_line_is_bounded(void **state)
{
    struct bench *bench = *state;
    struct relay_room room;
    static char talk[RELAY_ROOM_TALK_MOST / 4];
    const struct relay_paced_mark said = {1, PACED_TALK}, gone = {2, PACED_END};
    join(bench, &bench->one, "ONE");
    relay_room_init(&room, bench->net, &bench->metrics);
    relay_room_add(&room, &bench->one.seat.member, &bench->one.out);
    for (int i = 0; i < RELAY_ROOM_TOLD_MOST; i++) { /* this turn's worth: telling and ending it */
        relay_room_send(&room, SPAN(""), gone, NULL);
    }
    uint64_t before = count_deliveries(bench);
    for (int i = 0; i < 3; i++) {
        relay_room_send(&room, span_of(talk, sizeof(talk)), said, NULL);
    }
    relay_room_send(&room, SPAN("!"), gone, NULL);
    relay_room_send(&room, span_of(talk, sizeof(talk)), said, NULL);
    assert_int_equal(bench->metrics.value[METRIC_PACED_DROPPED], 0);
    relay_room_send(&room, SPAN("more"), said, NULL);
    assert_int_equal(bench->metrics.value[METRIC_PACED_DROPPED], 1);
    for (int i = 0; i < RELAY_ROOM_LINE_MOST + 10; i++) {
        relay_room_send(&room, SPAN(""), gone, NULL);
        assert_in_range(room.line_count, 1, RELAY_ROOM_LINE_MOST);
    }
    assert_true(count_deliveries(bench) > before);
    relay_room_remove(&room, &bench->one.seat.member);
    relay_room_deinit(&room);
}

static uint64_t count_claimed(const void *arg)
{
    const struct server *crowd = arg;
    uint64_t count = 0;
    for (int i = 0; i < 300; i++) {
        count += crowd[i].seat.claimed;
    }
    return count;
}

/* When the store is there at last it is not asked for all of those that wait in one turn. */
static void many_are_claimed_in_turns(void **state)
{
    enum { CROWD = 300, CLAIMED_PER_STEP = 8 };
    static struct server crowd[CROWD];
    struct bench *bench = *state;
    struct per_turn turn = {.count = count_claimed, .arg = crowd};
    share_turns(bench);
    join_many(bench, crowd, CROWD);
    count_turns(bench, &turn);
    run_ms(bench, 1000);
    assert_in_range(turn.most, 1, STEPS_PER_TURN * CLAIMED_PER_STEP);
    assert_int_equal(relay_network_admitted(bench->network), CROWD);
    leave_all(crowd, CROWD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(packets_wait_for_their_sender, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rubbish_from_the_store_is_passed_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_identifier_taken_twice, set_up, tear_down),
        cmocka_unit_test_setup_teardown(joins_are_held_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_left_while_held_back_is_not_claimed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_leaves_is_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(held_packets_are_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_are_admitted_in_turns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_are_told_in_turns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_said_waits_behind_arrivals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(some_leave_while_news_wait, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_line_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_are_claimed_in_turns, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
