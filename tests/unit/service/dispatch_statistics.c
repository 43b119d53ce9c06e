/* SPDX-License-Identifier: MIT */
/* What is said of thousands of ports: the statistics of all of them are not made in one turn, while ports come and go;
 * the page and the gauges go by counts. A work of the loop beside takes time (fake_clock.c). */
#include "node/net/work.h"
#include "node/service/dispatch/port/count.h"
#include "store/store.h"
#include "tests/unit/proto/peer.h"

#include <stdio.h>

enum { PORTS = 400, FIRST_PORT = 6000, SHOWN = 32, STEP_US = 100, TURNS_LEAST = 3 };

struct statistics_bench {
    struct peer *peer;
    struct store *store;
    struct dispatch *dispatch;
    struct net_work beside;
};

static bool take_time(struct net_work *work)
{
    (void)work;
    usleep(STEP_US);
    return true;
}

static struct dispatch_port *port_of(struct statistics_bench *bench, unsigned i)
{
    return dispatch_port_get(bench->dispatch, false, (uint16_t)(FIRST_PORT + i));
}

/* A port with a device here; `sockets` holds it. */
static void open_one(struct statistics_bench *bench, unsigned i)
{
    struct dispatch_port *port = port_of(bench, i);
    port->sockets = 1;
    dispatch_port_count(port, 1);
}

static void close_one(struct statistics_bench *bench, unsigned i)
{
    struct dispatch_port *port = port_of(bench, i);
    port->sockets = 0;
    dispatch_port_count(port, -1);
    dispatch_port_touch(port);
}

static int set_up(void **state)
{
    static const struct http_options http = {.header_limit = 4096,
                                             .body_limit = 100,
                                             .request_ms = 500000,
                                             .keep_alive_ms = 500000,
                                             .ws_message_limit = 1000};
    char error[200];
    struct statistics_bench *bench = mem_zalloc(sizeof(*bench));
    bench->peer = peer_new(&http, 1 << 20, 4);
    bench->store = store_open(&(struct store_options){.base = loop_base(bench->peer->loop),
                                                      .url = "memory:",
                                                      .prefix = "t",
                                                      .node = "n",
                                                      .lease_ms = 60000},
                              error, sizeof(error));
    assert_non_null(bench->store);
    bench->dispatch = dispatch_new(bench->peer->server,
                                   &(struct dispatch_options){.net = bench->peer->net,
                                                              .store = bench->store,
                                                              .metrics = &bench->peer->metrics,
                                                              .node = "n",
                                                              .bind = "127.0.0.1",
                                                              .secret = "s",
                                                              .ports = "1-65535",
                                                              .proxy = ""});
    for (unsigned i = 0; i < PORTS; i++) {
        open_one(bench, i);
    }
    for (unsigned turns = 0; turns < 100; turns++) {
        peer_turn(bench->peer);
    }
    net_work_init(&bench->beside, take_time);
    net_work_queue(bench->peer->net, &bench->beside);
    *state = bench;
    return 0;
}

static int tear_down(void **state)
{
    struct statistics_bench *bench = *state;
    net_work_cancel(&bench->beside);
    for (unsigned i = 0; i < PORTS + 1; i++) {
        port_of(bench, i)->sockets = 0;
    }
    peer_leave(bench->peer);
    net_free(&bench->peer->net);
    dispatch_free(&bench->dispatch);
    store_close(&bench->store);
    peer_free(bench->peer);
    free(bench);
    return 0;
}

static void ask(struct statistics_bench *bench)
{
    peer_connect(bench->peer);
    peer_write(bench->peer, SPAN("GET /api/server?bearer_token=s HTTP/1.1\r\nHost: a\r\n\r\n"));
}

static unsigned times(struct buf *text, const char *what)
{
    unsigned count = 0;
    for (const char *at = buf_text(text); (at = strstr(at, what)) != NULL; at++) {
        count++;
    }
    return count;
}

/* The last port goes meanwhile, and the one that comes next; another one comes. */
static void test_all_ports_are_in_the_answer_of_some_turns(void **state)
{
    struct statistics_bench *bench = *state;
    unsigned turns = 0;
    ask(bench);
    peer_turn(bench->peer);
    const struct dispatch_look *look =
        LIST_ITEM(bench->dispatch->looking.next, struct dispatch_look, entry);
    const struct dispatch_port *next =
        LIST_ITEM(cursor_next(&look->at), struct dispatch_port, entry);
    close_one(bench, next->number - FIRST_PORT);
    close_one(bench, PORTS - 1);
    while (bench->dispatch->settling.step(&bench->dispatch->settling)) {
    }
    open_one(bench, PORTS);
    while (bench->peer->got.len == 0) {
        assert_in_range(turns++, 0, 100);
        peer_turn(bench->peer);
    }
    assert_in_range(turns, TURNS_LEAST, 100);
    peer_settle(bench->peer);
    assert_int_equal(times(&bench->peer->got, "\": 1"), PORTS - 1);
    assert_non_null(strstr(buf_text(&bench->peer->got), "{\"6000\": 1, \"6001\": 1, "));
    assert_null(strstr(buf_text(&bench->peer->got), "\"6399\""));
    assert_non_null(strstr(buf_text(&bench->peer->got), "\"6398\": 1, \"6400\": 1}}"));
}

/* The connection goes, and so does all. */
static void test_who_goes_gets_no_answer(void **state)
{
    struct statistics_bench *bench = *state;
    ask(bench);
    peer_turn(bench->peer);
    peer_turn(bench->peer);
    assert_false(list_empty(&bench->dispatch->looking));
    close(bench->peer->fd);
    bench->peer->fd = -1;
    peer_turn(bench->peer);
    assert_false(list_empty(&bench->dispatch->looking));
}

static uint64_t gauge(struct statistics_bench *bench, enum metric_id metric)
{
    metrics_count(&bench->peer->metrics);
    return bench->peer->metrics.value[metric];
}

static void test_the_page_and_the_gauges_go_by_counts(void **state)
{
    struct statistics_bench *bench = *state;
    struct buf text = {0};
    assert_int_equal(gauge(bench, METRIC_DISPATCH_DEVICES), PORTS);
    close_one(bench, 0);
    dispatch_port_set_unbound(port_of(bench, 1), true);
    assert_int_equal(gauge(bench, METRIC_DISPATCH_DEVICES), PORTS - 1);
    assert_int_equal(gauge(bench, METRIC_DISPATCH_UNBOUND), 1);
    dispatch_describe(bench->dispatch, &text);
    assert_int_equal(times(&text, "\"port\":"), SHOWN);
    assert_non_null(
        strstr(buf_text(&text), "{\"rows\":[{\"port\":6001,\"proto\":\"tcp\",\"open\":false,"));
    assert_non_null(strstr(buf_text(&text), "],\"more\":367}"));
    buf_free(&text);
    dispatch_port_set_unbound(port_of(bench, 1), false);
    assert_int_equal(gauge(bench, METRIC_DISPATCH_UNBOUND), 0);
    for (unsigned i = 1; i < PORTS; i++) {
        close_one(bench, i);
    }
    assert_int_equal(gauge(bench, METRIC_DISPATCH_DEVICES), 0);
    dispatch_describe(bench->dispatch, &text);
    assert_string_equal(buf_text(&text), "{\"rows\":[],\"more\":0}");
    buf_free(&text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_all_ports_are_in_the_answer_of_some_turns),
        TEST(test_who_goes_gets_no_answer),
        TEST(test_the_page_and_the_gauges_go_by_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
