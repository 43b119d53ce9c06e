/* SPDX-License-Identifier: MIT */
/* The contract of roster.h, the same for every backend. */
#include "store/roster/rhythm.h"
#include "tests.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void an_empty_key_has_an_empty_view(void **state)
{
    struct watcher w = {0};
    (void)state;
    lab_nodes(1);
    watcher_start(&w, lab.nodes[0], "k");
    assert_int_equal(w.log.len, 0); /* nothing comes from inside the call */
    WAIT(w.currents == 1);
    assert_string_equal(watcher_log(&w), "* C");
    assert_int_equal(roster_count(w.watch), 0);
    watcher_stop(&w);
}

static void everybody_sees_every_claim(void **state)
{
    struct watcher w[3] = {0};
    (void)state;
    lab_nodes(3);
    for (int i = 0; i < 3; i++) {
        char name[16], value[16];
        snprintf(name, sizeof(name), "m%d", i);
        snprintf(value, sizeof(value), "v%d", i);
        watcher_start(&w[i], lab.nodes[i], "k");
        claim(i, "k", name, value);
    }
    for (int i = 0; i < 3; i++) {
        WAIT(roster_count(w[i].watch) == 3 && w[i].currents > 0);
        assert_true(watcher_has(&w[i], "m0", "v0"));
        assert_true(watcher_has(&w[i], "m1", "v1"));
        assert_true(watcher_has(&w[i], "m2", "v2"));
        assert_int_equal(w[i].gones, 0);
    }
    for (int i = 0; i < 3; i++) {
        watcher_stop(&w[i]);
    }
}

static void every_watch_passes_through_the_same_changes(void **state)
{
    struct watcher w[3] = {0};
    char *logs[3];
    (void)state;
    lab_nodes(3);
    for (int i = 0; i < 3; i++) {
        watcher_start(&w[i], lab.nodes[i], "k");
    }
    for (int i = 0; i < 3; i++) {
        WAIT(w[i].currents == 1);
        watcher_mark(&w[i]);
    }
    srand(7);
    for (int step = 0; step < 300; step++) {
        char name[16], value[16];
        int node = rand() % 3;
        snprintf(name, sizeof(name), "n%d-%d", node, rand() % 4);
        snprintf(value, sizeof(value), "%d", step);
        if (rand() % 3 == 0) {
            release(node, "k", name);
        } else {
            claim(node, "k", name, value);
        }
        if (rand() % 4 == 0) {
            lab_turn();
        }
    }
    for (int i = 0; i < 3; i++) {
        claim(i, "k", i == 0 ? "end0" : i == 1 ? "end1" : "end2", "e");
    }
    for (int i = 0; i < 3; i++) {
        WAIT(watcher_has(&w[i], "end0", "e") && watcher_has(&w[i], "end1", "e") &&
             watcher_has(&w[i], "end2", "e"));
        /* CURRENT is each store's own affair */
        struct buf only = {0};
        for (const char *c = watcher_log(&w[i]); *c != '\0'; c++) {
            if (*c != 'C' && *c != ' ') {
                buf_append(&only, span_of(c, 1));
            }
        }
        logs[i] = mem_dup(buf_span(&only));
        buf_free(&only);
    }
    assert_string_equal(logs[0], logs[1]);
    assert_string_equal(logs[0], logs[2]);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(store_stats(lab.nodes[i])->resnapshots, 0);
        free(logs[i]);
        watcher_stop(&w[i]);
    }
}

static void claims_not_yet_sent_are_joined(void **state)
{
    struct watcher w = {0};
    (void)state;
    lab_nodes(2);
    watcher_start(&w, lab.nodes[1], "k");
    WAIT(w.currents == 1);
    watcher_mark(&w);
    for (int i = 0; i < 100; i++) {
        char value[16];
        snprintf(value, sizeof(value), "%d", i);
        claim(0, "k", "a", value);
    }
    claim(0, "k", "gone", "before it was there");
    release(0, "k", "gone");
    WAIT(watcher_has(&w, "a", "99"));
    assert_string_equal(watcher_log(&w), "+a=99 *");
    watcher_stop(&w);
}

static void what_changes_while_a_claim_is_in_flight_goes_next(void **state)
{
    struct watcher w = {0};
    (void)state;
    lab_nodes(2);
    watcher_start(&w, lab.nodes[1], "k");
    WAIT(w.currents == 1);
    for (int i = 0; i < 200; i++) {
        char value[16];
        snprintf(value, sizeof(value), "%d", i);
        claim(0, "k", "a", value);
        claim(0, "k", "b", value);
        if (i % 3 == 0) {
            release(0, "k", "b");
        }
        lab_turn();
    }
    WAIT(watcher_has(&w, "a", "199") && watcher_has(&w, "b", "199"));
    release(0, "k", "b");
    claim(0, "k", "b", "again");
    WAIT(watcher_has(&w, "b", "again"));
    release(0, "k", "a");
    release(0, "k", "a");
    WAIT(!watcher_has(&w, "a", "199"));
    watcher_stop(&w);
}

static void a_release_gives_the_last_value(void **state)
{
    struct watcher w[2] = {0};
    (void)state;
    lab_nodes(2);
    watcher_start(&w[0], lab.nodes[0], "k");
    watcher_start(&w[1], lab.nodes[1], "k");
    claim(0, "k", "a", "1");
    WAIT(watcher_has(&w[0], "a", "1") && watcher_has(&w[1], "a", "1"));
    claim(0, "k", "a", "2");
    WAIT(watcher_has(&w[0], "a", "2") && watcher_has(&w[1], "a", "2"));
    watcher_mark(&w[1]);
    release(0, "k", "a");
    release(0, "k", "never");
    release(0, "other", "never");
    WAIT(w[0].gones == 1 && w[1].gones == 1);
    assert_string_equal(watcher_log(&w[1]), "-a=2 *");
    WAIT(w[0].currents >= 2);
    claim(1, "k", "a", "3"); /* the key went and comes to be again */
    WAIT(watcher_has(&w[0], "a", "3") && watcher_has(&w[1], "a", "3"));
    watcher_stop(&w[0]);
    watcher_stop(&w[1]);
}

static void current_comes_also_when_nothing_changed(void **state)
{
    struct watcher w = {0};
    (void)state;
    lab_nodes(1);
    watcher_start(&w, lab.nodes[0], "k");
    claim(0, "k", "a", "1");
    WAIT(w.currents == 1);
    assert_string_equal(watcher_log(&w), "+a=1 * C");
    watcher_mark(&w);
    claim(0, "k", "a", "1");
    WAIT(w.currents == 1);
    assert_string_equal(watcher_log(&w), "C");
    watcher_mark(&w);
    claim(0, "k", "a", "2");
    WAIT(w.currents == 1);
    assert_string_equal(watcher_log(&w), "+a=2 * C");
    watcher_mark(&w);
    release(0, "k", "a");
    WAIT(w.currents == 1);
    assert_string_equal(watcher_log(&w), "-a=2 * C");
    watcher_stop(&w);
}

/* Milliseconds from the death of node 2 until the others have heard of it. */
static uint64_t notice_death(struct watcher w[2])
{
    lab_node(2);
    claim(2, "k", "dead", "x");
    claim(2, "only watched", "dead", "x");
    WAIT(watcher_has(&w[0], "dead", "x") && watcher_has(&w[1], "dead", "x"));
    lab_run(LEASE_MS); /* it is renewed meanwhile */
    assert_true(watcher_has(&w[0], "dead", "x"));
    uint64_t died = lab_ms();
    store_close(&lab.nodes[2]);
    WAIT(!watcher_has(&w[0], "dead", "x") && !watcher_has(&w[1], "dead", "x"));
    return lab_ms() - died;
}

/* Where all beats are late, since this process stood still, all leases begin again: so one time of a few
 * must do. */
static void a_dead_node_is_noticed_within_a_lease(void **state)
{
    struct watcher w[2] = {0};
    uint64_t best = UINT64_MAX;
    (void)state;
    lab_nodes(2);
    claim(0, "k", "alive", "y");
    watcher_start(&w[0], lab.nodes[0], "k");
    watcher_start(&w[1], lab.nodes[1], "only watched");
    WAIT(watcher_has(&w[0], "alive", "y"));
    for (int tries = 0; tries < 8 && best > LEASE_MS + LEASE_MS / 4; tries++) {
        uint64_t took = notice_death(w);
        assert_true(took >= LEASE_MS * 3 / 10);
        best = took < best ? took : best;
    }
    assert_in_range(best, LEASE_MS * 3 / 10, LEASE_MS + LEASE_MS / 4);
    assert_int_equal(roster_count(w[0].watch), 1);
    assert_int_equal(roster_count(w[1].watch), 0);
    watcher_stop(&w[0]);
    watcher_stop(&w[1]);
}

static void a_late_watch_gets_the_view(void **state)
{
    struct watcher w[3] = {0};
    (void)state;
    lab_nodes(1);
    watcher_start(&w[0], lab.nodes[0], "k");
    claim(0, "k", "a", "1");
    WAIT(w[0].currents == 1);
    watcher_start(&w[1], lab.nodes[0], "k");
    watcher_start(&w[2], lab.nodes[0], "k");
    watcher_stop(&w[2]); /* before its first event */
    assert_int_equal(roster_count(w[1].watch), 0);
    WAIT(w[1].currents == 1);
    assert_string_equal(watcher_log(&w[1]), "+a=1 * C");
    assert_string_equal(watcher_log(&w[0]), "+a=1 * C");
    assert_int_equal(w[2].sets, 0);
    watcher_stop(&w[0]);
    watcher_stop(&w[1]);
}

static void unwatch_all(struct watcher *watcher, enum roster_event event,
                        const struct roster_member *member)
{
    struct watcher *all = watcher->arg;
    (void)event, (void)member;
    for (int i = 0; i < 3; i++) {
        roster_unwatch(&all[i].watch);
    }
}

static void a_watcher_may_unwatch_any_inside(void **state)
{
    struct watcher w[3] = {0};
    (void)state;
    lab_nodes(2);
    for (int i = 0; i < 3; i++) {
        watcher_start(&w[i], lab.nodes[0], "k");
    }
    WAIT(w[0].currents == 1 && w[1].currents == 1 && w[2].currents == 1);
    w[1].on_event = unwatch_all;
    w[1].arg = w;
    claim(1, "k", "a", "1");
    claim(1, "k", "b", "1");
    WAIT(w[1].sets == 1);
    lab_run(100);
    assert_int_equal(w[0].sets, 1);
    assert_int_equal(w[1].sets, 1);
    assert_int_equal(w[2].sets, 0);
    assert_int_equal(w[0].changes, 1); /* of the first view */
    for (int i = 0; i < 3; i++) {
        watcher_stop(&w[i]);
    }
}

static void answer_with_a_claim(struct watcher *watcher, enum roster_event event,
                                const struct roster_member *member)
{
    if (event == ROSTER_SET && span_eq(member->name, SPAN("ask"))) {
        claim(0, "k", "answer", "1");
        release(0, "k", "question");
    }
    if (event == ROSTER_GONE && watcher->arg == NULL) {
        struct watcher *more = calloc(1, sizeof(*more));
        watcher->arg = more;
        watcher_start(more, lab.nodes[0], "k");
    }
}

static void a_watcher_may_claim_release_and_watch_inside(void **state)
{
    struct watcher w = {.on_event = answer_with_a_claim};
    (void)state;
    lab_nodes(2);
    claim(0, "k", "question", "1");
    watcher_start(&w, lab.nodes[0], "k");
    WAIT(w.currents == 1);
    claim(1, "k", "ask", "1");
    WAIT(watcher_has(&w, "answer", "1") && !watcher_has(&w, "question", "1"));
    WAIT(w.arg != NULL);
    struct watcher *more = w.arg;
    WAIT(more->currents == 1);
    assert_int_equal(roster_count(more->watch), 2);
    watcher_stop(more);
    free(more);
    watcher_stop(&w);
}

static void count_events(void *arg, enum roster_event event, const struct roster_member *member)
{
    int *counts = arg;
    (void)member;
    counts[event]++;
}

static void keys_and_values_are_any_bytes(void **state)
{
    static const char key_bytes[] = "k\0\r\n e y\xff";
    static const char member_bytes[] = "m\r\n \xfe+-%";
    static const char value_bytes[] = "\0\r\n+1 1\n\x80v";
    struct span key = SPAN(key_bytes), member = SPAN(member_bytes), value = SPAN(value_bytes);
    struct span empty = SPAN("empty"), found;
    int counts[5] = {0};
    (void)state;
    lab_nodes(2);
    struct roster_watch *watch = roster_watch(lab.nodes[1], key, count_events, counts);
    roster_claim(lab.nodes[0], key, member, value);
    roster_claim(lab.nodes[0], key, empty, span_of(NULL, 0));
    WAIT(roster_count(watch) == 2);
    assert_true(roster_find(watch, member, &found));
    assert_true(span_eq(found, value));
    assert_true(roster_find(watch, empty, &found));
    assert_int_equal(found.len, 0);
    assert_false(roster_find(watch, SPAN("k"), &found));
    struct roster_watch *fresh = roster_watch(lab.nodes[0], key, count_events, counts);
    WAIT(roster_count(fresh) == 2); /* the same by snapshot */
    assert_true(roster_find(fresh, member, &found));
    assert_true(span_eq(found, value));
    roster_release(lab.nodes[0], key, member);
    roster_release(lab.nodes[0], key, empty);
    WAIT(roster_count(watch) == 0 && roster_count(fresh) == 0);
    roster_unwatch(&watch);
    roster_unwatch(&fresh);
    roster_unwatch(&fresh);
    roster_unwatch(NULL);
}

static void values_may_be_large(void **state)
{
    struct watcher w = {0};
    char *large = mem_alloc(64 * 1024);
    struct span found, value = span_of(large, 64 * 1024);
    (void)state;
    memset(large, 'x', value.len);
    lab_nodes(2);
    watcher_start(&w, lab.nodes[1], "k");
    for (int i = 0; i < 10; i++) {
        large[0] = (char)('0' + i);
        roster_claim(lab.nodes[0], SPAN("k"), span_of(large, 1), value);
    }
    WAIT(roster_count(w.watch) == 10);
    large[0] = '4';
    assert_true(roster_find(w.watch, SPAN("4"), &found));
    assert_true(span_eq(found, value));
    watcher_stop(&w);
    free(large);
}

static void sum_values(void *arg, const struct roster_member *member)
{
    *(int *)arg += atoi(member->value.ptr);
}

static void a_key_may_have_many_members(void **state)
{
    struct watcher w[2] = {0};
    enum { MANY = 1000 };
    int sum = 0;
    (void)state;
    lab_nodes(2);
    watcher_start(&w[0], lab.nodes[0], "k");
    watcher_start(&w[1], lab.nodes[1], "k");
    WAIT(w[1].currents == 1);
    for (int i = 0; i < MANY; i++) {
        char name[16];
        snprintf(name, sizeof(name), "m%d", i);
        claim(0, "k", name, "2");
    }
    WAIT(roster_count(w[1].watch) == MANY && roster_count(w[0].watch) == MANY);
    WAIT(w[0].currents > 0);
    roster_each(w[1].watch, sum_values, &sum);
    assert_int_equal(sum, 2 * MANY);
    lab_run(LEASE_MS * 3 / 2);
    assert_int_equal(w[0].gones + w[1].gones, 0);
    for (int i = 0; i < MANY; i++) {
        char name[16];
        snprintf(name, sizeof(name), "m%d", i);
        release(0, "k", name);
    }
    WAIT(roster_count(w[1].watch) == 0);
    assert_int_equal(w[1].gones, MANY);
    watcher_stop(&w[0]);
    watcher_stop(&w[1]);
}

static void count_all(void *arg, enum roster_event event, const struct roster_member *member)
{
    (void)member;
    ((int *)arg)[event]++;
}

static void thousands_of_keys_live_by_one_lease(void **state)
{
    enum { MANY = 2000 };
    static struct roster_watch *watches[MANY];
    int counts[5] = {0};
    (void)state;
    lab.lease_ms = 2000;
    lab_nodes(2);
    for (int i = 0; i < MANY; i++) {
        char name[16];
        snprintf(name, sizeof(name), "k%d", i);
        claim(0, name, "m", "v");
        watches[i] = roster_watch(lab.nodes[1], span_str(name), count_all, counts);
    }
    WAIT(counts[ROSTER_CURRENT] == MANY && counts[ROSTER_SET] == MANY);
    uint64_t before = store_stats(lab.nodes[0])->commands;
    lab_run(lab.lease_ms * 3 / 2);
    assert_int_equal(counts[ROSTER_GONE], 0);
    /* A beat each 0.6 s and what proves the link (in a cluster: 16 tables of leases), not a command
     * for each key. */
    assert_in_range(store_stats(lab.nodes[0])->commands - before, lab_is_redis() ? 4 : 0,
                    lab.cluster ? MANY / 4 : MANY / 10);
    for (int i = 0; i < MANY; i++) {
        char name[16];
        snprintf(name, sizeof(name), "k%d", i);
        release(0, name, "m");
    }
    WAIT(counts[ROSTER_GONE] == MANY);
    for (int i = 0; i < MANY; i++) {
        roster_unwatch(&watches[i]);
    }
}

static void set_flag(void *arg)
{
    *(bool *)arg = true;
}

static void release_all_is_answered(void **state)
{
    struct watcher w = {0};
    bool done = false;
    (void)state;
    lab_nodes(2);
    watcher_start(&w, lab.nodes[1], "k0");
    for (int i = 0; i < 20; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i % 4);
        claim(0, key, key, "v");
    }
    WAIT(roster_count(w.watch) == 1);
    store_release_all(lab.nodes[0], set_flag, &done);
    assert_false(done);
    claim(0, "k0", "too late", "v");
    WAIT(done);
    WAIT(roster_count(w.watch) == 0);
    assert_int_equal(w.sets, 1);
    store_close(&lab.nodes[0]);
    watcher_stop(&w);
}

static void close_store(struct watcher *watcher, enum roster_event event,
                        const struct roster_member *member)
{
    (void)event, (void)member;
    watcher->watch = NULL;
    store_close(&lab.nodes[0]);
}

static void a_store_may_be_closed_inside_a_callback(void **state)
{
    struct watcher w[2] = {{.on_event = close_store}, {.arg = NULL}};
    (void)state;
    lab_nodes(2);
    claim(1, "k", "a", "1");
    claim(1, "k", "b", "1");
    watcher_start(&w[0], lab.nodes[0], "k");
    watcher_start(&w[1], lab.nodes[0], "k");
    claim(0, "k", "c", "1");
    WAIT(lab.nodes[0] == NULL);
    lab_run(50);
    assert_int_equal(w[0].sets + w[0].changes, 1);
    assert_int_equal(w[1].log.len, 0);
    buf_free(&w[0].log);
    lab_node(0); /* opened, never run, closed */
    roster_unwatch(&w[0].watch);
    watcher_start(&w[1], lab.nodes[0], "k");
    claim(0, "k", "c", "1");
    store_close(&lab.nodes[0]);
    buf_free(&w[1].log);
}

static void watching_comes_and_goes_quickly(void **state)
{
    struct watcher w = {0};
    (void)state;
    lab_nodes(2);
    claim(1, "k", "a", "1");
    for (int i = 0; i < 50; i++) {
        watcher_start(&w, lab.nodes[0], "k");
        for (int turns = i % 5; turns > 0; turns--) {
            lab_turn();
        }
        watcher_stop(&w);
        if (i % 2 == 0) {
            lab_turn();
        }
    }
    w = (struct watcher){0};
    watcher_start(&w, lab.nodes[0], "k");
    claim(1, "k", "a", "2");
    WAIT(watcher_has(&w, "a", "2") && w.currents > 0);
    watcher_stop(&w);
}

static void a_process_that_stood_still_goes_on(void **state)
{
    struct watcher w[2] = {0};
    struct timespec still = {1, 500000000}; /* one and a half leases */
    (void)state;
    lab_nodes(2);
    for (int i = 0; i < 2; i++) {
        watcher_start(&w[i], lab.nodes[i], "k");
        claim(i, "k", i == 0 ? "a" : "b", "v");
    }
    WAIT(roster_count(w[0].watch) == 2 && roster_count(w[1].watch) == 2);
    nanosleep(&still, NULL); /* the fault itself, not a wait */
    lab_run(LEASE_MS / 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(w[i].gones, 0);
        assert_int_equal(w[i].stales, 0);
        assert_int_equal(lab.links_down[i], 0);
        watcher_stop(&w[i]);
    }
}

static const struct backend_ops *plain_ops;
static unsigned refreshed;

static int count_refresh(struct backend *backend, unsigned shard, const struct roster_touch *touch,
                         backend_answer_fn *fn, void *arg)
{
    refreshed += touch->refresh;
    return plain_ops->touch(backend, shard, touch, fn, arg);
}

/* The wheel comes round to all keys: so many have their life begin again. */
static unsigned refreshes(int node)
{
    struct store *store = lab.nodes[node];
    struct backend_ops counting = *store->backend->ops;
    unsigned ticks = store->roster.ticks;
    plain_ops = store->backend->ops;
    counting.touch = count_refresh;
    store->backend->ops = &counting;
    refreshed = 0;
    store->roster.wheel_start_us -= roster_refresh_us(store);
    WAIT(store->roster.ticks > ticks + 1);
    store->backend->ops = plain_ops;
    return refreshed;
}

static void the_first_member_refreshes_for_all(void **state)
{
    static const char *const names[] = {"a", "b", "c"};
    struct watcher w[2] = {0};
    (void)state;
    lab_nodes(3);
    for (int i = 0; i < 3; i++) {
        claim(i, "k", names[i], "v");
    }
    watcher_start(&w[0], lab.nodes[0], "k");
    watcher_start(&w[1], lab.nodes[1], "k");
    WAIT(roster_count(w[0].watch) == 3 && roster_count(w[1].watch) == 3);
    for (int i = 0; i < 4; i++) {
        assert_true(refreshes(0));             /* it is the first */
        assert_int_equal(refreshes(1), i % 2); /* it leaves every second time to that one */
        assert_true(refreshes(2));             /* it sees no other */
    }
    release(0, "k", "a");
    WAIT(roster_count(w[1].watch) == 2);
    assert_int_equal(refreshes(1), 1);
    assert_int_equal(refreshes(1), 1); /* now it is the first */
    watcher_stop(&w[0]);
    watcher_stop(&w[1]);
}

int test_roster(const char *name, CMFixtureFunction start)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(an_empty_key_has_an_empty_view),
        LAB_TEST(everybody_sees_every_claim),
        LAB_TEST(every_watch_passes_through_the_same_changes),
        LAB_TEST(claims_not_yet_sent_are_joined),
        LAB_TEST(what_changes_while_a_claim_is_in_flight_goes_next),
        LAB_TEST(a_release_gives_the_last_value),
        LAB_TEST(current_comes_also_when_nothing_changed),
        LAB_TEST(a_dead_node_is_noticed_within_a_lease),
        LAB_TEST(a_late_watch_gets_the_view),
        LAB_TEST(a_watcher_may_unwatch_any_inside),
        LAB_TEST(a_watcher_may_claim_release_and_watch_inside),
        LAB_TEST(keys_and_values_are_any_bytes),
        LAB_TEST(values_may_be_large),
        LAB_TEST(a_key_may_have_many_members),
        LAB_TEST(thousands_of_keys_live_by_one_lease),
        LAB_TEST(release_all_is_answered),
        LAB_TEST(a_store_may_be_closed_inside_a_callback),
        LAB_TEST(watching_comes_and_goes_quickly),
        LAB_TEST(a_process_that_stood_still_goes_on),
        LAB_TEST(the_first_member_refreshes_for_all),
    };
    char title[32];
    snprintf(title, sizeof(title), "roster on %s", name);
    return _cmocka_run_group_tests(title, tests, sizeof(tests) / sizeof(tests[0]), start, lab_end);
}
