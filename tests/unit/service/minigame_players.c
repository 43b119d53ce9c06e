/* SPDX-License-Identifier: MIT */
/* Short requests that cost much: who is online is thousands of names for thirty bytes, and the webhook tells
 * all game servers of the fleet. */
#include "node/service/minigame/minigame.h"

#include "node/net/net.h"
#include "store/base/clock.h"
#include "tests/unit/cmocka_all.h"

#include <sys/socket.h>
#include <unistd.h>

enum {
    LIST_US = 4000,
    USERS = 6000,
    MINIGAME_PLAYERS_IN_ANSWER = 5000,
    MANY_PARTS = 64, /* each with some hundreds of players, gone through in */
    PART_US = 200,
    PART_USERS = 100,
    PARTS_PER_TURN = 8, /* at most: 256 players at once, and some steps at its end */
    CROWD = 8,          /* sockets, each of which asks as much as it may */
    ASKS = 20,
    SAID_MOST = 10,
};

struct bench {
    struct loop *loop;
    struct wheel *wheel;
    struct metrics metrics;
    struct net *net;
    struct http_server *server;
    struct store *store;
    struct minigame *minigame;
    int peer;
    unsigned listed, given;
    uint64_t turn; /* and how many parts were gone through in it, and in any */
    unsigned in_turn, most_in_turn, parts;
};

static bool each_online(void *online, unsigned part, bool (*fn)(void *arg, struct span user),
                        void *arg)
{
    struct bench *bench = online;
    bool more = true;
    assert_int_equal(part, 0);
    usleep(LIST_US);
    bench->listed++;
    for (bench->given = 0; more && bench->given < USERS; bench->given++) {
        char name[16];
        int len = snprintf(name, sizeof(name), "p%u", bench->given);
        more = fn(arg, span_of(name, (size_t)len));
    }
    return true;
}

/* The same of many. */
static bool each_of_many(void *online, unsigned part, bool (*fn)(void *arg, struct span user),
                         void *arg)
{
    struct bench *bench = online;
    bool more = true;
    bench->in_turn = bench->turn == loop_turn(bench->loop) ? bench->in_turn + 1 : 1;
    bench->turn = loop_turn(bench->loop);
    bench->most_in_turn =
        bench->in_turn > bench->most_in_turn ? bench->in_turn : bench->most_in_turn;
    bench->parts++;
    usleep(PART_US);
    for (unsigned i = 0; more && i < PART_USERS; i++) {
        char name[16];
        int len = snprintf(name, sizeof(name), "p%u-%u", part, i);
        more = fn(arg, span_of(name, (size_t)len));
    }
    return true;
}

/* Nobody, at once. */
static bool each_of_none(void *online, unsigned part, bool (*fn)(void *arg, struct span user),
                         void *arg)
{
    (void)online, (void)part, (void)fn, (void)arg;
    return true;
}

static void stop(void *arg)
{
    loop_stop(arg);
}

/* Turns until the peer has had `text`. */
static void read_until(struct bench *bench, const char *text)
{
    struct buf got = {0};
    while (got.len == 0 || memmem(got.ptr, got.len, text, strlen(text)) == NULL) {
        loop_again(bench->loop);
        loop_run(bench->loop);
        ssize_t n = recv(bench->peer, buf_room(&got, 65536), 65536, MSG_DONTWAIT);
        buf_grew(&got, n > 0 ? (size_t)n : 0);
    }
    buf_free(&got);
}

static void say(struct bench *bench, struct span text)
{
    assert_int_equal(send(bench->peer, text.ptr, text.len, 0), text.len);
}

/* The peer is a game server. */
static void come(struct bench *bench)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    bench->peer = fds[1];
    http_server_accept(bench->server, fds[0], &(struct address){.port = 1});
    say(bench, SPAN("GET /minigame HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                    "Sec-WebSocket-Version: 13\r\n\r\n"));
    read_until(bench, "\r\n\r\n");
}

static int set_up_with(void **state, struct minigame_online online)
{
    struct bench *bench = mem_zalloc(sizeof(*bench));
    char error[200];
    bench->loop = loop_new();
    bench->wheel = wheel_new(bench->loop);
    bench->net = net_new(bench->loop, bench->wheel, &bench->metrics,
                         &(struct net_limits){.queue = 1 << 24, .connections = 2 + CROWD});
    bench->server = http_server_new(bench->net, &(struct http_options){.header_limit = 4096,
                                                                       .body_limit = 64,
                                                                       .request_ms = 1000000,
                                                                       .keep_alive_ms = 1000000,
                                                                       .ws_message_limit = 4096});
    bench->store = store_open(&(struct store_options){.base = loop_base(bench->loop),
                                                      .url = "memory:",
                                                      .prefix = "t",
                                                      .node = "n",
                                                      .lease_ms = 1000},
                              error, sizeof(error));
    assert_non_null(bench->store);
    bench->minigame = minigame_new(bench->server, &(struct minigame_options){
                                                      .store = bench->store,
                                                      .metrics = &bench->metrics,
                                                      .wheel = bench->wheel,
                                                      .node = "n",
                                                      .net = bench->net,
                                                      .online = {online.parts, online.each, bench},
                                                      .token = "",
                                                      .webhook_token = "",
                                                  });
    loop_at_turn_end(bench->loop, stop, bench->loop);
    come(bench);
    *state = bench;
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, (struct minigame_online){1, each_online, NULL});
}

static int set_up_many(void **state)
{
    return set_up_with(state, (struct minigame_online){MANY_PARTS, each_of_many, NULL});
}

static int set_up_none(void **state)
{
    return set_up_with(state, (struct minigame_online){1, each_of_none, NULL});
}

static int tear_down(void **state)
{
    struct bench *bench = *state;
    net_free(&bench->net);
    minigame_free(&bench->minigame);
    http_server_free(&bench->server);
    store_close(&bench->store);
    wheel_free(&bench->wheel);
    loop_free(&bench->loop);
    close(bench->peer);
    free(bench);
    return 0;
}

static void ask(struct bench *bench)
{
    static const char request[] = "\x81\x9b\0\0\0\0{\"action\":\"online_players\"}";
    say(bench, span_of(request, sizeof(request) - 1));
    read_until(bench, "]}");
}

static void test_they_are_listed_a_tenth_of_the_time(void **state)
{
    struct bench *bench = *state;
    for (int i = 0; i < 50; i++) {
        ask(bench);
    }
    assert_int_equal(bench->listed, 1);
    usleep(11 * LIST_US);
    ask(bench);
    ask(bench);
    assert_int_equal(bench->listed, 2);
}

/* Updates that the peer hears while time goes on. */
static unsigned hear_updates(struct bench *bench)
{
    struct buf got = {0};
    unsigned count = 0;
    for (int turn = 0; turn < 20; turn++) {
        loop_run(bench->loop);
        ssize_t n = recv(bench->peer, buf_room(&got, 65536), 65536, MSG_DONTWAIT);
        buf_grew(&got, n > 0 ? (size_t)n : 0);
    }
    const char *at = got.ptr;
    while (got.len > 0 &&
           (at = memmem(at, got.len - (size_t)(at - got.ptr), "update", 6)) != NULL) {
        count++;
        at += 6;
    }
    buf_free(&got);
    return count;
}

static void test_calls_of_the_webhook_at_once_are_two_updates(void **state)
{
    static const char call[] =
        "POST /api/webhook/minigame HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    struct bench *bench = *state;
    int fds[2];
    hear_updates(bench);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    http_server_accept(bench->server, fds[0], &(struct address){.port = 1});
    for (int i = 0; i < 50; i++) {
        assert_int_equal(send(fds[1], call, sizeof(call) - 1, 0), sizeof(call) - 1);
    }
    assert_int_equal(hear_updates(bench), 2);
    assert_int_equal(send(fds[1], call, sizeof(call) - 1, 0), sizeof(call) - 1);
    assert_int_equal(hear_updates(bench), 1);
    close(fds[1]);
}

static void test_no_more_than_an_answer_has(void **state)
{
    struct bench *bench = *state;
    ask(bench);
    assert_int_equal(bench->given, MINIGAME_PLAYERS_IN_ANSWER);
}

static void pass_time(struct bench *bench, int turns, struct buf *heard)
{
    for (; turns > 0; turns--) {
        usleep(20000);
        loop_again(bench->loop);
        loop_run(bench->loop);
        ssize_t n = recv(bench->peer, buf_room(heard, 65536), 65536, MSG_DONTWAIT);
        buf_grew(heard, n > 0 ? (size_t)n : 0);
    }
}

static void test_starts_draw_a_tenth_of_the_time(void **state)
{
    static const char start[] = "\x81\x9c\0\0\0\0{\"action\":\"scheduler_start\"}";
    struct bench *bench = *state;
    struct buf heard = {0};
    pass_time(bench, 20, &heard);
    bench->listed = 0;
    for (int i = 0; i < 2; i++) {
        say(bench, span_of(start, sizeof(start) - 1));
        read_until(bench, "scheduler is running");
        assert_int_equal(bench->listed, i + 1);
        say(bench, span_of(start, sizeof(start) - 1));
        read_until(bench, "please slow down");
        assert_int_equal(bench->listed, i + 1);
        pass_time(bench, 3, &heard);
    }
    buf_free(&heard);
}

/* Each of a crowd starts the scheduler as often as it may, before the store has answered the first, each time with a
 * period that is `step` longer. What the crowd hears goes to `heard`, what another one does to `other`. */
static void start_often(struct bench *bench, int step, struct buf *heard, struct buf *other)
{
    int fds[CROWD], first = bench->peer;
    pass_time(bench, 20, heard);
    for (int i = 0; i < CROWD; i++) {
        come(bench);
        fds[i] = bench->peer;
    }
    for (int i = 0; i < CROWD * ASKS; i++) {
        char start[80];
        int len =
            snprintf(start, sizeof(start),
                     "\x81\xa9____{\"action\":\"scheduler_start\",\"period\":%d}", 100 + i * step);
        memset(start + 2, 0, 4);
        assert_int_equal(len, 6 + 0x29);
        bench->peer = fds[i % CROWD];
        say(bench, span_of(start, (size_t)len));
    }
    heard->len = 0;
    for (int i = 0; i < CROWD; i++) {
        bench->peer = fds[i];
        pass_time(bench, 5, heard);
        close(fds[i]);
    }
    bench->peer = first;
    pass_time(bench, 5, other);
}

/* Each start is told to all when the store has it. */
static void test_what_waits_for_the_store_is_bounded(void **state)
{
    struct buf heard = {0}, other = {0};
    start_often(*state, 1, &heard, &other);
    assert_non_null(memmem(heard.ptr, heard.len, "slow down", 9));
    buf_free(&heard);
    buf_free(&other);
}

static void test_what_would_be_said_twice_is_said_once(void **state)
{
    struct buf heard = {0}, other = {0};
    unsigned count = 0;
    start_often(*state, 0, &heard, &other);
    const char *at = buf_text(&other);
    for (; (at = strstr(at, "scheduler is running")) != NULL; at++) {
        count++;
    }
    assert_in_range(count, 1, SAID_MOST);
    buf_free(&heard);
    buf_free(&other);
}

/* What is asked behind it waits for the draw, and comes behind it. */
static void test_a_draw_among_many_takes_turns(void **state)
{
    static const char start[] = "\x81\x9c\0\0\0\0{\"action\":\"scheduler_start\"}";
    static const char stop_it[] = "\x81\x9b\0\0\0\0{\"action\":\"scheduler_stop\"}";
    struct bench *bench = *state;
    struct buf heard = {0};
    pass_time(bench, 20, &heard);
    say(bench, span_of(start, sizeof(start) - 1));
    say(bench, span_of(stop_it, sizeof(stop_it) - 1));
    pass_time(bench, 50, &heard);
    assert_int_equal(bench->parts, MANY_PARTS);
    assert_in_range(bench->most_in_turn, 1, PARTS_PER_TURN);
    const char *running = strstr(buf_text(&heard), "scheduler is running");
    assert_non_null(running);
    assert_non_null(strstr(running, "scheduler is stopped"));
    buf_free(&heard);
}

/* All who ask meanwhile are answered with it. */
static void test_a_list_of_many_takes_turns(void **state)
{
    static const char request[] = "\x81\x9b\0\0\0\0{\"action\":\"online_players\"}";
    struct bench *bench = *state;
    say(bench, span_of(request, sizeof(request) - 1));
    ask(bench);
    ask(bench);
    assert_int_equal(bench->parts, MINIGAME_PLAYERS_IN_ANSWER / PART_USERS);
    assert_in_range(bench->most_in_turn, 1, PARTS_PER_TURN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_they_are_listed_a_tenth_of_the_time, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_starts_draw_a_tenth_of_the_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_calls_of_the_webhook_at_once_are_two_updates, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_what_waits_for_the_store_is_bounded, set_up_none,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_what_would_be_said_twice_is_said_once, set_up_none,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_no_more_than_an_answer_has, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_draw_among_many_takes_turns, set_up_many, tear_down),
        cmocka_unit_test_setup_teardown(test_a_list_of_many_takes_turns, set_up_many, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
