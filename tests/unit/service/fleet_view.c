/* SPDX-License-Identifier: MIT */
/* What a page is shown of the roster of nodes: which member is what. */
#include "node/service/fleet/view.h"

#include "node/core/loop.h"
#include "store/base/mem.h"
#include "store/store.h"
#include "tests/unit/cmocka_all.h"

#include <stdlib.h>

struct view_bench {
    struct loop *loop;
    struct metrics metrics;
    struct store *store;
    struct group viewers;
    struct fleet_events *events;
    struct roster_watch *watch;
    bool current;
    struct buf shown;
};

static void on_roster(void *arg, enum roster_event event, const struct roster_member *member)
{
    struct view_bench *bench = arg;
    (void)member;
    bench->current = bench->current || event == ROSTER_CURRENT;
}

static void stop(void *arg)
{
    loop_stop(arg);
}

static void turn(struct view_bench *bench, int turns)
{
    for (; turns > 0; turns--) {
        loop_again(bench->loop);
        loop_run(bench->loop);
    }
}

static void claim(struct view_bench *bench, const char *node, enum fleet_part part,
                  const char *value)
{
    struct buf member = {0};
    fleet_view_name(span_str(node), part, &member);
    roster_claim(bench->store, FLEET_NODES, buf_span(&member), span_str(value));
    buf_free(&member);
}

static int set_up(void **state)
{
    char error[200];
    struct view_bench *bench = mem_zalloc(sizeof(*bench));
    bench->loop = loop_new();
    bench->store = store_open(&(struct store_options){.base = loop_base(bench->loop),
                                                      .url = "memory:",
                                                      .prefix = "t",
                                                      .node = "n",
                                                      .lease_ms = 1000},
                              error, sizeof(error));
    assert_non_null(bench->store);
    loop_at_turn_end(bench->loop, stop, bench->loop);
    group_init(&bench->viewers, &bench->metrics);
    bench->events = fleet_events_new(&(struct fleet_events_options){.store = bench->store,
                                                                    .metrics = &bench->metrics,
                                                                    .node = "n",
                                                                    .kind = "node",
                                                                    .viewers = &bench->viewers});
    *state = bench;
    return 0;
}

static int tear_down(void **state)
{
    struct view_bench *bench = *state;
    turn(bench, 100); /* what is being read is */
    roster_unwatch(&bench->watch);
    fleet_events_free(&bench->events);
    store_close(&bench->store);
    loop_free(&bench->loop);
    buf_free(&bench->shown);
    free(bench);
    return 0;
}

static void show(struct view_bench *bench)
{
    bench->watch = roster_watch(bench->store, FLEET_NODES, on_roster, bench);
    while (!bench->current) {
        turn(bench, 1);
    }
    fleet_view_print(bench->watch, bench->events, &bench->shown);
}

static void expect_shown(struct view_bench *bench, const char *text)
{
    assert_non_null(strstr(buf_text(&bench->shown), text));
}

static void test_a_node_is_shown_with_its_lists(void **state)
{
    struct view_bench *bench = *state;
    claim(bench, "a", FLEET_PART_NODE, "{\"name\":\"a\"}");
    claim(bench, "a", FLEET_PART_LISTS, "{\"rows\":1}");
    claim(bench, "a", FLEET_PART_SERVERS, "{\"server\":1}");
    show(bench);
    assert_int_equal(fleet_view_count(bench->watch), 1);
    expect_shown(bench, "{\"nodes\":[{\"name\":\"a\",\"lists\":{\"rows\":1}}],\"servers\":["
                        "{\"server\":1}],\"events\":[");
}

static void test_of_many_each_is_an_element(void **state)
{
    struct view_bench *bench = *state;
    claim(bench, "a", FLEET_PART_NODE, "{\"name\":1}");
    claim(bench, "b", FLEET_PART_NODE, "{\"name\":1}");
    claim(bench, "c", FLEET_PART_NODE, "{\"name\":1}");
    claim(bench, "a", FLEET_PART_SERVERS, "{\"s\":2}");
    claim(bench, "b", FLEET_PART_SERVERS, "{\"s\":2}");
    show(bench);
    assert_int_equal(fleet_view_count(bench->watch), 3);
    expect_shown(
        bench,
        "{\"nodes\":[{\"name\":1},{\"name\":1},{\"name\":1}],\"servers\":[{\"s\":2},{\"s\":2}],");
}

/* A node that says nothing of itself, what is no object, and a member whose name is an ending alone. */
static void test_what_is_not_understood_is_left_out(void **state)
{
    struct view_bench *bench = *state;
    claim(bench, "a", FLEET_PART_NODE, "{}");
    claim(bench, "a", FLEET_PART_LISTS, "{\"rows\":1}");
    claim(bench, "b", FLEET_PART_NODE, "{}");
    claim(bench, "b", FLEET_PART_LISTS, "1");
    claim(bench, "b", FLEET_PART_SERVERS, "{");
    claim(bench, "c", FLEET_PART_NODE, "2");
    claim(bench, "", FLEET_PART_LISTS, "3");
    show(bench);
    assert_int_equal(fleet_view_count(bench->watch), 4);
    expect_shown(bench, "{\"nodes\":[{},{}],\"servers\":[],");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_node_is_shown_with_its_lists, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_of_many_each_is_an_element, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_not_understood_is_left_out, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
