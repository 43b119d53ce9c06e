/* SPDX-License-Identifier: MIT */
/* A list of servers that changes while nodes run: rosters, topics, histories, values and the stream are at work
 * while the partitions go from one server to another. */
#include "reader.h"
#include "store/history/history.h"
#include "store/lookup.h"
#include "store/partition.h"
#include "store/store_impl.h"
#include "store/stream.h"
#include "store/stream_read.h"
#include "tests.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { SERVERS = 3, NAMES = 40 };

static int lab_three(void **state)
{
    lab_redis(state);
    for (int i = 1; i < SERVERS; i++) {
        redis_start(&lab.servers[i], NULL, NULL);
    }
    lab.server_count = SERVERS;
    return 0;
}

/* The URL of some servers, as "0,1" or "0;0,1"; one of a few buffers, borrowed. */
static const char *list(const char *numbers)
{
    static char urls[8][256];
    static unsigned next;
    struct buf out = {0};
    char *url = urls[next++ % 8];
    for (; *numbers != '\0'; numbers++) {
        if (*numbers >= '0' && *numbers <= '9') {
            buf_printf(&out, "redis://127.0.0.1:%d", lab.servers[*numbers - '0'].port);
        } else {
            buf_printf(&out, "%c", *numbers);
        }
    }
    snprintf(url, sizeof(urls[0]), "%s", buf_text(&out));
    buf_free(&out);
    return url;
}

static void open_ready(int index, const char *numbers)
{
    static const struct stream_limits limits = {.lanes = 4, .entries = 100000};
    struct store *store = lab_node_at(index, list(numbers));
    stream_setup(store, &limits);
    WAIT(store_ready(store));
}

static bool is_over(int index)
{
    const struct store_change *change = &lab.nodes[index]->change;
    return change->all > 0 && change->waiting == 0 && change->over;
}

static void name_of(char name[16], int i)
{
    snprintf(name, 16, "k%d", i);
}

/* ------------------------------------------------------------------------------ what is at work */

static void on_value(void *arg, uint64_t tag, enum lookup_result result, struct span value)
{
    struct buf *log = arg;
    buf_printf(log, "%d=%d%.*s ", (int)tag, (int)result, SPAN_ARG(value));
}

static void put_values(int node)
{
    struct buf log = {0};
    for (int i = 0; i < NAMES; i++) {
        char name[16];
        struct lookup_then then = {on_value, &log, (uint64_t)i};
        name_of(name, i);
        assert_int_equal(lookup_add(lab.nodes[node], span_str(name), span_str(name), 60000, &then),
                         0);
    }
    struct buf expected = {0};
    for (int i = 0; i < NAMES; i++) {
        buf_printf(&expected, "%d=%d ", i, LOOKUP_DONE);
    }
    WAIT(log.len >= expected.len);
    buf_free(&log);
    buf_free(&expected);
}

struct values {
    int right, wrong, refused;
};

static void on_found(void *arg, uint64_t tag, enum lookup_result result, struct span value)
{
    struct values *values = arg;
    char name[16];
    name_of(name, (int)tag);
    bool right = result == LOOKUP_DONE && span_eq(value, span_str(name));
    values->right += right;
    values->refused += result == LOOKUP_LOST;
    values->wrong += !right && result != LOOKUP_LOST;
}

static int get_values(int node, struct values *values)
{
    int asked = 0;
    for (int i = 0; i < NAMES; i++) {
        char name[16];
        struct lookup_then then = {on_found, values, (uint64_t)i};
        name_of(name, i);
        asked += lookup_get(lab.nodes[node], span_str(name), &then) == 0;
    }
    return asked;
}

static void on_appended(void *arg, const struct stream_result *result)
{
    int *stored = arg;
    stored[result->outcome == STREAM_STORED]++;
}

static void append_entry(int node, int number, int *stored)
{
    char payload[24];
    snprintf(payload, sizeof(payload), "%d.%d", node, number);
    const struct stream_item item = {(unsigned)number % 4, SPAN("room"), span_str(payload)};
    if (stream_append(lab.nodes[node], &item, 1, on_appended, stored) != 0) {
        stored[0]++;
    }
}

struct entries {
    size_t count, bad;
    unsigned answers;
    struct buf log;
};

static void on_entries(void *arg, bool ok, const struct stream_head *head,
                       const struct stream_entry *entries, size_t count)
{
    struct entries *seen = arg;
    (void)head;
    seen->bad += !ok;
    seen->answers++;
    seen->count += count;
    for (size_t i = 0; i < count; i++) {
        buf_printf(&seen->log, "%.*s ", SPAN_ARG(entries[i].payload));
    }
}

/* All that the stream has. */
static void read_stream(int node, struct entries *seen)
{
    static const struct stream_from from[] = {{0, 0}, {1, 0}, {2, 0}, {3, 0}};
    for (unsigned part = 0; part < STREAM_PARTS; part++) {
        assert_int_equal(stream_read(lab.nodes[node], part, from, 4, 10000, on_entries, seen), 0);
    }
    WAIT(seen->answers == STREAM_PARTS);
    assert_int_equal(seen->bad, 0);
}

static void expect_stream(int node, int writers, int each)
{
    struct entries seen = {0};
    read_stream(node, &seen);
    assert_int_equal(seen.count, writers * each);
    for (int w = 0; w < writers; w++) {
        for (int i = 0; i < each; i++) {
            char payload[24];
            snprintf(payload, sizeof(payload), "%d.%d ", w, i);
            assert_non_null(strstr(buf_text(&seen.log), payload));
        }
    }
    buf_free(&seen.log);
}

static int values_at(int server)
{
    return (int)redis_count(&lab.servers[server], "KEYS %s:{??}:l:*", lab.prefix);
}

/* ------------------------------------------------------------------------------------ the tests */

static void nothing_moves_while_a_node_has_the_old_list(void **state)
{
    struct values values = {0};
    (void)state;
    open_ready(0, "0");
    put_values(0);
    open_ready(1, "0;0,1");
    open_ready(2, "0;0,1");
    lab_run(500);
    assert_int_equal(lab.nodes[1]->change.waiting, lab.nodes[1]->change.all);
    assert_in_range(lab.nodes[1]->change.all, 80, 180);
    assert_true(store_ready(lab.nodes[0]));
    struct store *new = lab_node_at(3, list("0,1"));
    WAIT(store_refusal(new) != NULL);
    store_close(&lab.nodes[3]);
    store_close(&lab.nodes[0]);
    WAIT(is_over(1) && is_over(2));
    assert_int_equal(lab.nodes[1]->change.waiting, 0);
    assert_int_equal(get_values(1, &values), NAMES);
    WAIT(values.right == NAMES);
    struct store *old = lab_node_at(0, list("0"));
    WAIT(store_refusal(old) != NULL);
    open_ready(3, "0,1");
    values = (struct values){0};
    assert_int_equal(get_values(3, &values), NAMES);
    WAIT(values.right == NAMES);
    assert_int_equal(values.wrong, 0);
    /* Nothing is left of it where it was. */
    assert_int_equal(values_at(0) + values_at(1), NAMES);
    assert_true(values_at(0) > 0 && values_at(1) > 0);
}

/* One change after another; values, rosters, topics, histories and the stream are at work all the time. */
static void change_under_load(const char *old, const char *both, const char *new)
{
    struct watcher watchers[NAMES] = {0};
    struct reader readers[2] = {0};
    struct outcome said[2] = {0};
    struct values values = {0};
    int stored[2][2] = {{0}}, asked = 0, number = 0;
    open_ready(2, old);
    put_values(2);
    open_ready(0, both);
    open_ready(1, both);
    for (int i = 0; i < NAMES; i++) {
        char name[16];
        name_of(name, i);
        watcher_start(&watchers[i], lab.nodes[1], name);
        claim(0, name, "m", name);
    }
    for (int i = 0; i < NAMES; i++) {
        char name[16];
        name_of(name, i);
        WAIT(watcher_has(&watchers[i], "m", name));
        watcher_mark(&watchers[i]);
    }
    reader_start(&readers[0], 0);
    reader_start(&readers[1], 1);
    WAIT(readers[0].currents > 0 && readers[1].currents > 0);
    store_close(&lab.nodes[2]);
    bool over = false;
    for (uint64_t end = 0; end == 0 || lab_ms() < end; number++) {
        append_numbers(0, number, number + 1, 10000, &said[0]);
        append_numbers(1, number, number + 1, 10000, &said[1]);
        append_entry(0, number, stored[0]);
        append_entry(1, number, stored[1]);
        asked += get_values(number % 2, &values);
        lab_run(20);
        if (!over && is_over(0) && is_over(1)) {
            over = true;
            end = lab_ms() + 2 * LEASE_MS;
        }
        assert_true(number < 2000);
    }
    WAIT(said[0].done == number && said[1].done == number);
    WAIT(readers[0].entries == 2 * number && readers[1].entries == 2 * number);
    WAIT(stored[0][0] + stored[0][1] == number && stored[1][0] + stored[1][1] == number);
    assert_int_equal(stored[0][0] + stored[1][0], 0);
    WAIT(values.right + values.refused + values.wrong == asked);
    assert_int_equal(values.wrong, 0);
    assert_int_equal(values.refused, 0);
    lab_run(300);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(readers[i].entries, 2 * number);
        assert_int_equal(readers[i].losts, 0);
        assert_int_equal(said[i].failed, 0);
        reader_stop(&readers[i]);
    }
    int gones = 0;
    for (int i = 0; i < NAMES; i++) {
        char name[16];
        name_of(name, i);
        gones += watchers[i].gones;
        assert_true(watcher_has(&watchers[i], "m", name));
        watcher_stop(&watchers[i]);
    }
    assert_int_equal(gones, 0);
    expect_stream(0, 2, number);
    open_ready(3, new);
    expect_stream(3, 2, number);
    print_message("%d rounds, %u partitions\n", number, lab.nodes[0]->change.all);
}

static void one_server_becomes_two(void **state)
{
    (void)state;
    change_under_load("0", "0;0,1", "0,1");
}

static void two_servers_become_three(void **state)
{
    (void)state;
    change_under_load("0,1", "0,1;0,1,2", "0,1,2");
}

static void two_servers_become_one(void **state)
{
    (void)state;
    change_under_load("0,1", "0,1;0", "0");
}

static void all_servers_are_others(void **state)
{
    (void)state;
    change_under_load("0,1", "0,1;2", "2");
}

/* Many values, so that a look at all of them takes its time: "<number>" for each name. */
static void fill(const struct redis_server_process *server, int count)
{
    for (int i = 0; i < count; i++) {
        char name[24];
        snprintf(name, sizeof(name), "f%d", i);
        freeReplyObject(redis_ask(server, "SET %s %s PX 600000", lab_key("l", name), "1 x"));
    }
}

static int count_filled(int count)
{
    int found = 0;
    for (int i = 0; i < count; i++) {
        char name[24];
        snprintf(name, sizeof(name), "f%d", i);
        unsigned owner = lab.nodes[1]->backend->owner[partition_of(span_str(name))];
        found += (int)redis_count(&lab.servers[owner], "EXISTS %s", lab_key("l", name));
    }
    return found;
}

static bool some_moved(int index)
{
    const struct store_change *change = &lab.nodes[index]->change;
    return change->waiting < change->all;
}

/* Whichever node moves: the other one goes on, and what it had begun counts for nothing. */
static void a_node_goes_in_the_middle(void **state)
{
    enum { MANY = 3000 };
    (void)state;
    fill(&lab.servers[0], MANY);
    open_ready(0, "0;0,1");
    open_ready(1, "0;0,1");
    WAIT(some_moved(1));
    store_close(&lab.nodes[0]);
    open_ready(2, "0;0,1");
    lab_run(150);
    store_close(&lab.nodes[2]);
    WAIT(is_over(1));
    assert_int_equal(count_filled(MANY), MANY);
    assert_int_equal(values_at(0) + values_at(1), MANY);
}

/* The new server goes away: what has not moved is served where it is, and moves when it is back. */
static void the_new_server_goes_in_the_middle(void **state)
{
    struct values values = {0};
    (void)state;
    open_ready(2, "0");
    put_values(2);
    store_close(&lab.nodes[2]);
    open_ready(0, "0;0,1");
    open_ready(1, "0;0,1");
    WAIT(some_moved(1) && some_moved(0));
    kill(lab.servers[1].pid, SIGSTOP);
    WAIT(!store_ready(lab.nodes[0]) && !store_ready(lab.nodes[1]));
    assert_true(store_works(lab.nodes[0]));
    int asked = get_values(0, &values);
    WAIT(values.right + values.refused + values.wrong == asked);
    assert_int_equal(values.wrong, 0);
    assert_true(values.right > 0);
    kill(lab.servers[1].pid, SIGCONT);
    WAIT(is_over(0) && is_over(1));
    values = (struct values){0};
    assert_int_equal(get_values(1, &values), NAMES);
    WAIT(values.right == NAMES);
}

/* Large values of one partition go in several steps: the new server takes no word of more than 3 MB here. */
static void what_is_large_moves_in_parts(void **state)
{
    enum { LARGE = 24, LARGE_BYTES = 200 * 1024 };
    char name[24], *value = mem_alloc(LARGE_BYTES);
    int number = 0, made = 0;
    (void)state;
    memset(value, 'x', LARGE_BYTES);
    freeReplyObject(redis_ask(&lab.servers[1], "CONFIG SET proto-max-bulk-len 3000000"));
    open_ready(2, "0");
    open_ready(0, "0;0,1");
    const struct store_change *change = &lab.nodes[0]->change;
    unsigned partition = 0;
    while (change->owner_before[partition] == change->owner_after[partition]) {
        partition++;
    }
    for (; made < LARGE; number++) {
        snprintf(name, sizeof(name), "large%d", number);
        if (partition_of(span_str(name)) == partition) {
            freeReplyObject(redis_ask(&lab.servers[0], "SET %s %b", lab_key("l", name), value,
                                      (size_t)LARGE_BYTES));
            made++;
        }
    }
    free(value);
    store_close(&lab.nodes[2]);
    WAIT(is_over(0));
    assert_int_equal(values_at(1), LARGE);
    freeReplyObject(redis_ask(&lab.servers[1], "CONFIG SET proto-max-bulk-len 512mb"));
}

/* With store-replicas: what is copied is where one more server has it, before it counts. */
static void what_moves_waits_for_a_replica(void **state)
{
    struct redis_server_process replica = {0};
    struct values values = {0};
    (void)state;
    open_ready(2, "0");
    put_values(2);
    store_close(&lab.nodes[2]);
    lab.replicas = 1;
    open_ready(0, "0;0,1");
    WAIT(lab.nodes[0]->change.moving);
    lab_run(3000); /* longer than a replica is waited for */
    assert_int_equal(lab.nodes[0]->change.waiting, lab.nodes[0]->change.all);
    assert_int_equal(values_at(0), NAMES);
    redis_start_replica(&replica, &lab.servers[1]);
    WAIT(is_over(0));
    assert_int_equal(get_values(0, &values), NAMES);
    WAIT(values.right == NAMES);
    assert_int_equal(redis_count(&replica, "DBSIZE") > 0, 1);
    redis_kill(&replica);
    lab.replicas = 0;
}

/* The old server loses all that it had, the markers, too: what had moved is where it is, for nodes that begin
 * then as well. */
static void the_old_server_loses_its_data_in_the_middle(void **state)
{
    bool moved[NAMES];
    (void)state;
    open_ready(2, "0");
    put_values(2);
    store_close(&lab.nodes[2]);
    fill(&lab.servers[0], 2000);
    open_ready(0, "0;0,1");
    open_ready(1, "0;0,1");
    WAIT(some_moved(1) && lab.nodes[1]->change.waiting < 80);
    redis_kill(&lab.servers[0]);
    WAIT(!store_ready(lab.nodes[1]));
    lab_run(200);
    int count = 0;
    for (int i = 0; i < NAMES; i++) {
        char name[16];
        name_of(name, i);
        moved[i] = lab.nodes[1]->backend->owner[partition_of(span_str(name))] == 1;
        count += moved[i];
    }
    assert_in_range(count, 1, NAMES - 1);
    redis_start(&lab.servers[0], NULL, NULL);
    open_ready(3, "0;0,1");
    WAIT(is_over(1) && is_over(3));
    for (int i = 0; i < NAMES; i++) {
        char name[16];
        struct buf log = {0};
        struct lookup_then then = {on_value, &log, (uint64_t)i};
        name_of(name, i);
        assert_int_equal(lookup_get(lab.nodes[3], span_str(name), &then), 0);
        WAIT(log.len > 0);
        char expected[32];
        snprintf(expected, sizeof(expected), "%d=%d%s ", i, moved[i] ? LOOKUP_DONE : LOOKUP_ABSENT,
                 moved[i] ? name : "");
        assert_string_equal(buf_text(&log), expected);
        buf_free(&log);
    }
}

/* It would be emptied for itself. */
static void a_server_with_two_names_is_left_alone(void **state)
{
    char url[256];
    struct values values = {0};
    (void)state;
    open_ready(0, "0");
    put_values(0);
    store_close(&lab.nodes[0]);
    snprintf(url, sizeof(url), "redis://127.0.0.1:%d;redis://localhost:%d#b", lab.servers[0].port,
             lab.servers[0].port);
    lab.last_trouble[0] = '\0';
    lab_node_at(0, url);
    WAIT(strstr(lab.last_trouble, "has two names") != NULL);
    WAIT(store_ready(lab.nodes[0]));
    int asked = get_values(0, &values);
    WAIT(values.right == asked);
    assert_int_equal(asked, NAMES);
}

int test_change(void)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(nothing_moves_while_a_node_has_the_old_list),
        LAB_TEST(one_server_becomes_two),
        LAB_TEST(two_servers_become_three),
        LAB_TEST(two_servers_become_one),
        LAB_TEST(all_servers_are_others),
        LAB_TEST(a_node_goes_in_the_middle),
        LAB_TEST(the_new_server_goes_in_the_middle),
        LAB_TEST(what_is_large_moves_in_parts),
        LAB_TEST(what_moves_waits_for_a_replica),
        LAB_TEST(the_old_server_loses_its_data_in_the_middle),
        LAB_TEST(a_server_with_two_names_is_left_alone),
    };
    return cmocka_run_group_tests_name("change", tests, lab_three, lab_end);
}
