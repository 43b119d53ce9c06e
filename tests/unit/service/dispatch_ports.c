/* SPDX-License-Identifier: MIT */
/* Thousands of ports with news at once: how many of them are looked at in one turn. A work of the loop beside takes time
 * (fake_clock.c). */
#include "node/service/dispatch/port/count.h"
#include "node/service/dispatch/port/port.h"
#include "store/store_impl.h"
#include "tests/unit/cmocka_all.h"

#include <unistd.h>

enum { DISPATCH_PORTS = 300, FIRST_PORT = 6000, SETTLED_MOST = 6, TOLD_MOST = 64, STEP_US = 100 };

struct ports_bench {
    struct loop *loop;
    struct wheel *wheel;
    struct metrics metrics;
    struct net *net;
    struct store *store;
    struct dispatch *dispatch;
    struct net_work beside;
    size_t claims, most; /* of the store, when it was looked last; more between two looks */
};

static bool look(struct net_work *work)
{
    struct ports_bench *bench = CONTAINER_OF(work, struct ports_bench, beside);
    size_t claims = bench->store->roster.claims;
    bench->most = claims - bench->claims > bench->most ? claims - bench->claims : bench->most;
    bench->claims = claims;
    usleep(STEP_US);
    return true;
}

static void stop(void *arg)
{
    loop_stop(arg);
}

static void turn(struct ports_bench *bench, unsigned turns)
{
    for (; turns > 0; turns--) {
        usleep(10000);
        loop_again(bench->loop);
        loop_run(bench->loop);
    }
}

static int set_up(void **state)
{
    char error[200];
    struct ports_bench *bench = mem_zalloc(sizeof(*bench));
    bench->loop = loop_new();
    bench->wheel = wheel_new(bench->loop);
    bench->net = net_new(bench->loop, bench->wheel, &bench->metrics,
                         &(struct net_limits){.queue = 1 << 20, .connections = 2});
    bench->store = store_open(&(struct store_options){.base = loop_base(bench->loop),
                                                      .url = "memory:",
                                                      .prefix = "t",
                                                      .node = "n",
                                                      .lease_ms = 1000},
                              error, sizeof(error));
    assert_non_null(bench->store);
    bench->dispatch = mem_zalloc(sizeof(*bench->dispatch));
    bench->dispatch->options = (struct dispatch_options){
        .net = bench->net, .store = bench->store, .metrics = &bench->metrics, .node = "n"};
    dispatch_ports_init(bench->dispatch);
    net_work_init(&bench->beside, look);
    net_work_queue(bench->net, &bench->beside);
    loop_at_turn_end(bench->loop, stop, bench->loop);
    turn(bench, 20);
    *state = bench;
    return 0;
}

static int tear_down(void **state)
{
    struct ports_bench *bench = *state;
    net_free(&bench->net);
    dispatch_ports_deinit(bench->dispatch);
    store_close(&bench->store);
    wheel_free(&bench->wheel);
    loop_free(&bench->loop);
    free(bench->dispatch);
    free(bench);
    return 0;
}

/* New ones are touched, and those that nobody wants go when they are settled. */
static void test_some_are_settled_in_a_turn(void **state)
{
    struct ports_bench *bench = *state;
    size_t left = DISPATCH_PORTS;
    for (uint16_t i = 0; i < DISPATCH_PORTS; i++) {
        dispatch_port_get(bench->dispatch, false, FIRST_PORT + i);
    }
    while (left > 0) {
        turn(bench, 1);
        size_t settled = left - bench->dispatch->ports.count;
        assert_in_range(settled, 1, SETTLED_MOST);
        left -= settled;
    }
}

static void test_some_tell_their_devices_in_a_turn(void **state)
{
    struct ports_bench *bench = *state;
    for (uint16_t i = 0; i < DISPATCH_PORTS; i++) {
        struct dispatch_port *port = dispatch_port_get(bench->dispatch, false, FIRST_PORT + i);
        port->clients = 1;
        dispatch_port_count(port, 1);
    }
    turn(bench, 60);
    assert_int_equal(bench->claims, DISPATCH_PORTS);
    assert_in_range(bench->most, 1, TOLD_MOST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_some_are_settled_in_a_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_some_tell_their_devices_in_a_turn, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
