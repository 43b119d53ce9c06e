/* SPDX-License-Identifier: MIT */
/* What is promised when Redis goes, stands still, forgets, or comes back empty. */
#include "faults.h"
#include "tests.h"

#include <stdlib.h>
#include <string.h>

static void restarted_empty(void **state)
{
    struct watcher w[3] = {0};
    (void)state;
    lab_nodes(3);
    views_settle(w, 3);
    for (int round = 0; round < 2; round++) {
        redis_kill(redis);
        redis_start(redis, NULL, NULL);
        WAIT(views_stale(w, 3) && views_current(w, 3));
        views_never_flickered(w, 3);
        lab_run(LEASE_MS * 3 / 2);
        views_never_flickered(w, 3);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(w[i].stales, 1);
            watcher_mark(&w[i]);
        }
    }
    assert_true(store_stats(lab.nodes[0])->reconnects >= 2);
    views_stop(w, 3);
}

static void who_died_while_it_restarted_empty_goes_within_a_lease(void **state)
{
    struct watcher w[3] = {0};
    (void)state;
    lab_nodes(3);
    views_settle(w, 3);
    redis_kill(redis);
    watcher_stop(&w[2]);
    store_close(&lab.nodes[2]);
    redis_start(redis, NULL, NULL);
    WAIT(views_current(w, 2));
    uint64_t back = lab_ms();
    assert_int_equal(w[0].gones, 0); /* it might still come */
    WAIT(w[0].gones == 1 && w[1].gones == 1);
    assert_in_range(lab_ms() - back, LEASE_MS / 3, LEASE_MS + LEASE_MS / 2);
    assert_int_equal(w[0].least, 2);
    assert_int_equal(w[0].sets + w[1].sets, 0);
    views_stop(w, 2);
}

static void flushed(void **state)
{
    struct watcher w[2] = {0};
    (void)state;
    lab_nodes(2);
    views_settle(w, 2);
    freeReplyObject(redis_ask(redis, "FLUSHALL"));
    WAIT(redis_count(redis, "HLEN %s", lab_key("r", "k")) == 3);
    lab_run(LEASE_MS * 3 / 2);
    views_never_flickered(w, 2);
    assert_int_equal(w[0].stales, 0);
    claim(0, "k", "new", "v");
    WAIT(watcher_has(&w[1], "new", "v") && w[0].currents > 0);
    views_stop(w, 2);
}

static void paused_for_two_leases(void **state)
{
    struct watcher w[3] = {0};
    struct listener l = {0};
    (void)state;
    lab_nodes(3);
    views_settle(w, 3);
    listener_start(&l, lab.nodes[0], "t", BUS_ECHO);
    WAIT(l.readies == 1);
    redis_pause(redis);
    lab_run(2 * LEASE_MS);
    WAIT(!store_ready(lab.nodes[0]) && views_stale(w, 3));
    assert_int_equal(l.gaps, 1);
    assert_int_equal(publish(0, "t", "x"), -1);
    redis_resume(redis);
    WAIT(views_current(w, 3) && l.readies == 2);
    lab_run(LEASE_MS * 3 / 2);
    views_never_flickered(w, 3);
    assert_int_equal(publish(0, "t", "x"), 0);
    WAIT(l.messages == 1);
    assert_string_equal(listener_log(&l), "R G R 'x'");
    listener_stop(&l);
    views_stop(w, 3);
}

static void paused_for_a_moment(void **state)
{
    struct watcher w[3] = {0};
    (void)state;
    lab_nodes(3);
    views_settle(w, 3);
    for (unsigned tenths = 3; tenths <= 7; tenths++) {
        redis_pause(redis);
        lab_run(tenths * LEASE_MS / 10);
        redis_resume(redis);
        lab_run(LEASE_MS / 2);
    }
    WAIT(nodes_ready(3));
    views_never_flickered(w, 3);
    views_stop(w, 3);
}

static void gone_for_a_while(void **state)
{
    struct watcher w[2] = {0};
    struct listener l[2] = {0};
    (void)state;
    lab_nodes(2);
    views_settle(w, 2);
    claim(0, "k", "left", "v");
    listener_start(&l[0], lab.nodes[0], "t", BUS_NO_ECHO);
    listener_start(&l[1], lab.nodes[1], "t", BUS_NO_ECHO);
    WAIT(l[0].readies == 1 && l[1].readies == 1 && watcher_has(&w[1], "left", "v"));
    redis_kill(redis);
    WAIT(views_stale(w, 2) && l[0].gaps == 1 && l[1].gaps == 1);
    assert_false(store_ready(lab.nodes[0]));
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(publish(0, "t", "lost"), -1);
    }
    assert_int_equal(store_stats(lab.nodes[0])->unpublished, 1000);
    release(0, "k", "left");
    claim(0, "k", "made while down", "v");
    claim(0, "k", "m0", "changed while down");
    struct listener late = {0};
    struct watcher late_watch = {0};
    listener_start(&late, lab.nodes[1], "t", BUS_NO_ECHO);
    watcher_start(&late_watch, lab.nodes[1], "new key");
    WAIT(late_watch.stales == 1);
    lab_run(LEASE_MS);
    watcher_mark(&w[0]);
    watcher_mark(&w[1]);
    redis_start(redis, NULL, NULL);
    WAIT(views_current(w, 2) && l[0].readies == 2 && l[1].readies == 2 && late.readies == 1);
    WAIT(late_watch.currents == 1);
    WAIT(watcher_has(&w[1], "made while down", "v"));
    WAIT(watcher_has(&w[1], "m0", "changed while down"));
    WAIT(!watcher_has(&w[1], "left", "v"));
    assert_int_equal(publish(0, "t", "again"), 0);
    WAIT(l[1].messages == 1 && late.messages == 1);
    assert_string_equal(listener_log(&l[1]), "R G R 'again'");
    assert_string_equal(listener_log(&late), "R 'again'");
    assert_string_equal(watcher_log(&late_watch), "S * C");
    assert_int_equal(store_stats(lab.nodes[0])->reconnects, 1);
    listener_stop(&l[0]);
    listener_stop(&l[1]);
    listener_stop(&late);
    watcher_stop(&late_watch);
    views_stop(w, 2);
}

static void what_is_queued_is_bounded(void **state)
{
    enum { SIZE = 64 * 1024, MOST = 400 }; /* 25 MiB */
    char *payload = mem_zalloc(SIZE);
    int accepted = 0;
    (void)state;
    lab_nodes(1);
    redis_pause(redis);
    while (accepted < MOST && bus_publish(lab.nodes[0], SPAN("t"), span_of(payload, SIZE)) == 0) {
        accepted++;
    }
    assert_in_range(accepted, 200, 300);
    assert_true(store_stats(lab.nodes[0])->unpublished > 0);
    redis_resume(redis);
    WAIT(bus_publish(lab.nodes[0], SPAN("t"), span_of(payload, SIZE)) == 0);
    free(payload);
}

static void scripts_forgotten(void **state)
{
    struct watcher w[2] = {0};
    (void)state;
    lab_nodes(2);
    views_settle(w, 2);
    freeReplyObject(redis_ask(redis, "SCRIPT FLUSH"));
    for (int i = 0; i < 300; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key%d", i);
        claim(0, key, "a", "b");
    }
    claim(0, "k", "new", "v");
    WAIT(watcher_has(&w[1], "new", "v"));
    WAIT(redis_count(redis, "KEYS %s:*:r:key*", lab.prefix) == 300);
    assert_int_equal(w[0].stales + w[1].stales + w[0].gones + w[1].gones, 0);
    views_stop(w, 2);
}

int test_faults(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(restarted_empty),
        FAULT_TEST(who_died_while_it_restarted_empty_goes_within_a_lease),
        FAULT_TEST(flushed),
        FAULT_TEST(paused_for_two_leases),
        FAULT_TEST(paused_for_a_moment),
        FAULT_TEST(gone_for_a_while),
        FAULT_TEST(what_is_queued_is_bounded),
        FAULT_TEST(scripts_forgotten),
    };
    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
