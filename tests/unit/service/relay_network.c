/* SPDX-License-Identifier: MIT */
/* A network between a node that is built here and one that the test plays on the same hub: it can
 * say and claim in orders that real nodes seldom do. Servers write to a text what they are told. */
#include "node/service/relay/network.h"

#include "node/core/wheel.h"
#include "node/net/net.h"
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
                                                         .loop = bench->loop,
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
    relay_room_init(&room, &bench->metrics);
    relay_room_add(&room, &bench->one.seat.member, &bench->one.out);
    assert_int_equal(relay_early_add(&early, 1, SPAN("a"), 1000), 0);
    assert_int_equal(relay_early_add(&early, 2, SPAN("b"), 1000), 0);
    assert_int_equal(relay_early_add(&early, 1, SPAN("c"), 1000), 0);
    relay_early_send(&early, 1, 1001, &room);
    relay_early_send(&early, 2, 1000 + RELAY_EARLY_MS, &room);
    relay_room_remove(&room, &bench->one.seat.member);
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

/* Each is told of all others: many that come at once are not one turn of the loop. */
static void many_are_admitted_in_turns(void **state)
{
    enum { CROWD = 40, ADMITTED_PER_TURN = 8 };
    static struct server crowd[CROWD];
    struct bench *bench = *state;
    memset(crowd, 0, sizeof(crowd));
    for (int i = 0; i < CROWD; i++) {
        struct address from = {.port = 1};
        from.ip[0] = (unsigned char)(i + 1);
        join_from(bench, &crowd[i], "LOOK", &from);
    }
    run_ms(bench, 500);
    assert_int_equal(relay_network_admitted(bench->network), CROWD);
    assert_int_equal(bench->most_in_turn, ADMITTED_PER_TURN);
    for (int i = 0; i < CROWD; i++) {
        assert_true(crowd[i].admitted);
        leave(&crowd[i]);
    }
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
