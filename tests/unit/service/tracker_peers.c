/* SPDX-License-Identifier: MIT */
/* How many peers were served lately: the count, and that it forgets. */
#include "node/service/tracker/peers.h"

#include "tests/unit/cmocka_all.h"

#include <string.h>

enum { WINDOW_MS = 300 * 1000, START_MS = 1000 * 1000 * 1000 };

static struct address peer_of(uint32_t number)
{
    struct address peer = {.port = (uint16_t)(number % 60000 + 1)};
    memcpy(peer.ip, &number, sizeof(number));
    return peer;
}

static void see(struct tracker_peers *peers, uint32_t first, uint32_t count, uint64_t now)
{
    for (uint32_t i = 0; i < count; i++) {
        struct address peer = peer_of(first + i);
        tracker_peers_saw(peers, &peer, now);
    }
}

static void assert_about(uint64_t seen, uint64_t want, uint64_t slack)
{
    assert_true(seen + slack >= want && seen <= want + slack);
}

static void test_counts_from_none_to_a_million(void **state)
{
    (void)state;
    static const uint32_t counts[] = {0, 1, 2, 10, 100, 1000, 10000, 12000, 100000, 1000000};
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        struct tracker_peers *peers = tracker_peers_new(WINDOW_MS);
        see(peers, 1, counts[i], START_MS);
        see(peers, 1, counts[i], START_MS + WINDOW_MS / 2); /* the same again */
        /* Five times the standard error, and two that look like one. */
        assert_about(tracker_peers_count(peers, START_MS + WINDOW_MS / 2), counts[i],
                     counts[i] / 12 + (counts[i] > 1 ? 2 : 0));
        tracker_peers_free(&peers);
        assert_null(peers);
    }
}

static void test_forgets_those_who_are_silent(void **state)
{
    (void)state;
    struct tracker_peers *peers = tracker_peers_new(WINDOW_MS);
    uint64_t now = START_MS;
    see(peers, 1, 20, now);
    see(peers, 100, 20, now);
    for (; now < START_MS + WINDOW_MS; now += WINDOW_MS / 10) {
        assert_about(tracker_peers_count(peers, now), 40, 2);
        see(peers, 1, 20, now); /* these go on */
    }
    now = START_MS + WINDOW_MS + WINDOW_MS / 4;
    see(peers, 1, 20, now);
    assert_about(tracker_peers_count(peers, now), 20, 2);
    assert_int_equal(tracker_peers_count(peers, now + 2 * WINDOW_MS), 0);
    see(peers, 7, 1, now + 100 * (uint64_t)WINDOW_MS); /* after a long time without anybody */
    assert_int_equal(tracker_peers_count(peers, now + 100 * (uint64_t)WINDOW_MS), 1);
    tracker_peers_free(&peers);
}

static void test_a_window_of_nearly_nothing(void **state)
{
    (void)state;
    struct tracker_peers *peers = tracker_peers_new(1);
    see(peers, 1, 5, START_MS);
    assert_about(tracker_peers_count(peers, START_MS), 5, 1);
    assert_int_equal(tracker_peers_count(peers, START_MS + 100), 0);
    tracker_peers_free(&peers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_counts_from_none_to_a_million),
                                       cmocka_unit_test(test_forgets_those_who_are_silent),
                                       cmocka_unit_test(test_a_window_of_nearly_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
