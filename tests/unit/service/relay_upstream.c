/* SPDX-License-Identifier: MIT */
/* A bridge between an old host and a network that the test plays, both. */
#include "node/service/relay/upstream.h"

#include "node/core/wheel.h"
#include "node/net/net.h"
#include "node/net/work.h"
#include "store/resolver/resolver.h"
#include "tests/unit/cmocka_all.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SERVERS = 100,
    CONNECTS_PER_TURN = 16,
    ENDS_PER_TURN = 48,
    BESIDE_US = 600, /* that a turn has for works, and more */
    TURNS_MOST = 2000,
};

static struct bench {
    struct loop *loop;
    struct wheel *wheel;
    struct metrics metrics;
    struct net *net;
    struct relay_terms terms;
    struct relay_upstream *upstream;
    struct event *stop;
    int listener, host; /* the old host's: for the bridge, and that of its ear */
    int joined[SERVERS + 1], joined_count;
    int stop_at;   /* so many: the loop stops after this turn */
    uint64_t turn; /* of the last join; how many it had, and the most that one had */
    int in_turn, most_in_turn;
    int left, most_left; /* links that ended: all, and the most in one turn */
    struct net_work beside;
} bench;

/* Here the test stands in for the network's listener and for the resolver. */

void relay_client_accept(struct relay_terms *terms, struct relay_network *network, int fd,
                         const struct address *peer)
{
    (void)terms, (void)network, (void)peer;
    assert_true(bench.joined_count <= SERVERS);
    bench.joined[bench.joined_count++] = fd;
    if (bench.joined_count == bench.stop_at) {
        loop_stop(bench.loop);
    }
    bench.in_turn = bench.turn == loop_turn(bench.loop) ? bench.in_turn + 1 : 1;
    bench.turn = loop_turn(bench.loop);
    bench.most_in_turn = bench.in_turn > bench.most_in_turn ? bench.in_turn : bench.most_in_turn;
}

struct resolver {
    struct event *found;
    resolver_fn *fn;
    void *arg;
};

static void on_found(evutil_socket_t fd, short what, void *arg)
{
    struct resolver *resolver = arg;
    const struct addrinfo found = {0};
    (void)fd, (void)what;
    resolver->fn(resolver->arg, &found, NULL);
}

struct resolver *resolver_new(struct event_base *base)
{
    struct resolver *resolver = mem_zalloc(sizeof(*resolver));
    resolver->found = evtimer_new(base, on_found, resolver);
    return resolver;
}

void resolver_free(struct resolver **resolver)
{
    event_free((*resolver)->found);
    free(*resolver);
    *resolver = NULL;
}

struct resolver_query *resolver_ask(struct resolver *resolver, const char *host, resolver_fn *fn,
                                    void *arg)
{
    struct timeval now = {0};
    (void)host;
    resolver->fn = fn;
    resolver->arg = arg;
    evtimer_add(resolver->found, &now);
    return (struct resolver_query *)resolver;
}

void resolver_cancel(struct resolver_query **query)
{
    *query = NULL;
}

socklen_t resolver_pick(const struct addrinfo *found, unsigned pick, uint16_t port,
                        struct sockaddr_storage *out)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    (void)found, (void)pick;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    memcpy(out, &address, sizeof(address));
    return sizeof(address);
}

static void on_stop(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    loop_stop(bench.loop);
}

/* At the end of each turn. */
static void count_left(void *arg)
{
    int before = bench.left;
    char bytes[4096];
    (void)arg;
    for (int i = 0; i < bench.joined_count; i++) {
        ssize_t got = 1;
        while (bench.joined[i] >= 0 && got > 0) {
            got = recv(bench.joined[i], bytes, sizeof(bytes), MSG_DONTWAIT);
        }
        if (got == 0) {
            close(bench.joined[i]);
            bench.joined[i] = -1;
            bench.left++;
        }
    }
    before = bench.left - before;
    bench.most_left = before > bench.most_left ? before : bench.most_left;
}

static bool take_time(struct net_work *work)
{
    uint64_t until_us = loop_turn_us(bench.loop) + BESIDE_US;
    (void)work;
    while (loop_turn_us(bench.loop) < until_us) {
    }
    return true;
}

static void run_turn(void)
{
    struct timeval soon = {.tv_usec = 1000};
    evtimer_add(bench.stop, &soon);
    loop_run(bench.loop);
}

static uint16_t listen_anywhere(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof(address);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bench.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(bench.listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(bench.listener, 10), 0);
    assert_int_equal(getsockname(bench.listener, (struct sockaddr *)&address, &len), 0);
    return ntohs(address.sin_port);
}

static int set_up(void **state)
{
    (void)state;
    bench = (struct bench){.host = -1};
    bench.loop = loop_new();
    bench.wheel = wheel_new(bench.loop);
    bench.net = net_new(bench.loop, bench.wheel, &bench.metrics,
                        &(struct net_limits){.queue = 1 << 20, .connections = 1000});
    bench.terms = (struct relay_terms){
        .net = bench.net,
        .metrics = &bench.metrics,
        .host_look = SPAN("\"name\":\"Us\""),
        .secret = "",
        .pacer = relay_pacer_new(&(struct relay_pacer_options){
            .loop = bench.loop, .metrics = &bench.metrics, .on = false}),
    };
    bench.stop = evtimer_new(loop_base(bench.loop), on_stop, NULL);
    loop_at_turn_end(bench.loop, count_left, NULL);
    net_work_init(&bench.beside, take_time);
    struct relay_upstream_entry entry = {.host = "old", .port = listen_anywhere()};
    bench.upstream = relay_upstream_new(&bench.terms, NULL, &entry);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    relay_upstream_stop(bench.upstream);
    net_free(&bench.net);
    relay_upstream_free(&bench.upstream);
    relay_pacer_free(&bench.terms.pacer);
    event_free(bench.stop);
    wheel_free(&bench.wheel);
    loop_free(&bench.loop);
    for (int i = 0; i < bench.joined_count; i++) {
        close(bench.joined[i]);
    }
    close(bench.host);
    close(bench.listener);
    return 0;
}

static void say_to(int fd, const struct buf *text)
{
    assert_int_equal(send(fd, text->ptr, text->len, MSG_NOSIGNAL), text->len);
}

/* The old host's ear is welcomed with so many servers, and ours as the only one of our network. */
static void welcome_ears(int servers)
{
    struct buf text = {0};
    for (int i = 0; i < TURNS_MOST && bench.host < 0; i++) {
        run_turn();
        bench.host = accept(bench.listener, NULL, NULL);
    }
    assert_true(bench.host >= 0);
    buf_printf(&text, "{\"type\":\"acknowledge\",\"identifier\":1,\"hostIdentifier\":0,"
                      "\"playerCount\":0,\"connections\":[{\"identifier\":0,\"name\":\"Old\"}");
    for (int i = 0; i < servers; i++) {
        buf_printf(&text, ",{\"identifier\":%d,\"name\":\"s%d\"}", i + 2, i);
    }
    buf_append(&text, SPAN("]}"));
    say_to(bench.host, &text);
    for (int i = 0; i < TURNS_MOST && bench.joined_count == 0; i++) {
        run_turn();
    }
    assert_int_equal(bench.joined_count, 1);
    text.len = 0;
    buf_printf(&text, "{\"type\":\"acknowledge\",\"identifier\":77,\"hostIdentifier\":0,"
                      "\"playerCount\":0,\"connections\":[{\"identifier\":0,\"name\":\"Us\"}]}");
    say_to(bench.joined[0], &text);
    buf_free(&text);
}

/* All servers of the old host join at once, when it is found: some in each turn of the loop. */
static void servers_join_in_turns(void **state)
{
    (void)state;
    welcome_ears(SERVERS);
    for (int i = 0; i < TURNS_MOST && bench.joined_count <= SERVERS; i++) {
        run_turn();
    }
    assert_int_equal(bench.joined_count, SERVERS + 1);
    assert_in_range(bench.most_in_turn, 1, CONNECTS_PER_TURN);
}

/* Those whose turn did not come do not join when the bridge ends. */
static void none_joins_after_the_end(void **state)
{
    (void)state;
    bench.stop_at = 2;
    welcome_ears(SERVERS);
    for (int i = 0; i < TURNS_MOST && bench.joined_count == 1; i++) {
        run_turn();
    }
    assert_in_range(bench.joined_count, 2, SERVERS);
    relay_upstream_stop(bench.upstream);
    int joined = bench.joined_count;
    for (int i = 0; i < 20; i++) {
        run_turn();
    }
    assert_int_equal(bench.joined_count, joined);
}

/* The old host goes: so many links are not ended in one turn. */
static void they_leave_in_turns(void **state)
{
    (void)state;
    welcome_ears(SERVERS);
    for (int i = 0; i < TURNS_MOST && bench.joined_count <= SERVERS; i++) {
        run_turn();
    }
    net_work_queue(bench.net, &bench.beside);
    close(bench.host);
    bench.host = -1;
    for (int i = 0; i < TURNS_MOST && bench.left <= SERVERS; i++) {
        run_turn();
    }
    net_work_cancel(&bench.beside);
    assert_int_equal(bench.left, SERVERS + 1);
    assert_in_range(bench.most_left, 1, ENDS_PER_TURN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(servers_join_in_turns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(they_leave_in_turns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(none_joins_after_the_end, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
