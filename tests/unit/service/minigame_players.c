/* SPDX-License-Identifier: MIT */
/* Short requests that cost much: who is online is thousands of names for thirty bytes, and the webhook tells
 * all game servers of the fleet. */
#include "node/service/minigame/minigame.h"

#include "node/net/net.h"
#include "store/base/clock.h"
#include "tests/unit/cmocka_all.h"

#include <sys/socket.h>
#include <unistd.h>

enum { LIST_US = 4000, USERS = 6000, MINIGAME_PLAYERS_IN_ANSWER = 5000 };

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
};

static bool each_online(void *online, bool (*fn)(void *arg, struct span user), void *arg)
{
    struct bench *bench = online;
    bool more = true;
    usleep(LIST_US);
    bench->listed++;
    for (bench->given = 0; more && bench->given < USERS; bench->given++) {
        char name[16];
        int len = snprintf(name, sizeof(name), "p%u", bench->given);
        more = fn(arg, span_of(name, (size_t)len));
    }
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

static int set_up(void **state)
{
    struct bench *bench = mem_zalloc(sizeof(*bench));
    char error[200];
    int fds[2];
    bench->loop = loop_new();
    bench->wheel = wheel_new(bench->loop);
    bench->net = net_new(bench->loop, bench->wheel, &bench->metrics,
                         &(struct net_limits){.queue = 1 << 24, .connections = 2});
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
                                                      .each_online = each_online,
                                                      .online = bench,
                                                      .token = "",
                                                      .webhook_token = "",
                                                  });
    loop_at_turn_end(bench->loop, stop, bench->loop);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    bench->peer = fds[1];
    http_server_accept(bench->server, fds[0], &(struct address){.port = 1});
    say(bench, SPAN("GET /minigame HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                    "Sec-WebSocket-Version: 13\r\n\r\n"));
    read_until(bench, "\r\n\r\n");
    *state = bench;
    return 0;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_they_are_listed_a_tenth_of_the_time, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_calls_of_the_webhook_at_once_are_two_updates, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_no_more_than_an_answer_has, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
