/* SPDX-License-Identifier: MIT */
/* What happens to all topics and all rosters of a node at once is told to each, in turns: none of them
 * goes over all. */
#include "store/bus_impl.h"
#include "store/crowd.h"
#include "store/lookup.h"
#include "store/store_impl.h"
#include "store/sweep.h"
#include "tests.h"

#include <stdio.h>
#include <unistd.h>

enum { MANY = 2000, TOLD_PER_TURN = 64 };

static struct listener listeners[MANY];
static struct watcher watchers[MANY];

struct told {
    int gaps, readies, stales, currents;
};

static struct told count(void)
{
    struct told told = {0};
    for (int i = 0; i < MANY; i++) {
        told.gaps += listeners[i].gaps;
        told.readies += listeners[i].readies;
        told.stales += watchers[i].stales;
        told.currents += watchers[i].currents;
    }
    return told;
}

static void begin(void)
{
    memset(listeners, 0, sizeof(listeners));
    memset(watchers, 0, sizeof(watchers));
    lab_nodes(1);
    for (int i = 0; i < MANY; i++) {
        char name[16];
        snprintf(name, sizeof(name), "k%d", i);
        listener_attend(&listeners[i], lab.nodes[0], name);
        claim(0, name, "n", "1");
        watcher_start(&watchers[i], lab.nodes[0], name);
    }
    WAIT(count().readies == MANY && count().currents >= MANY);
}

static void end(void)
{
    for (int i = 0; i < MANY; i++) {
        listener_stop(&listeners[i]);
        watcher_stop(&watchers[i]);
    }
}

/* One turn; how many were told something in it, which is not more than a turn may tell. */
static struct told turn(const struct told *before, uint64_t *swept)
{
    uint64_t steps = lab.nodes[0]->stats.swept;
    lab_turn();
    struct told now = count();
    int told = now.gaps - before->gaps + now.stales - before->stales;
    assert_true(told <= 2 * TOLD_PER_TURN);
    steps = lab.nodes[0]->stats.swept - steps;
    assert_true(steps <= 2 * SWEEP_STEPS * TOLD_PER_TURN / 8);
    *swept += steps;
    return now;
}

static void a_gap_is_told_in_turns(void **state)
{
    (void)state;
    uint64_t swept = 0;
    begin();
    struct told now = count();
    bus_attended_gap(lab.nodes[0], 0);
    assert_int_equal(count().gaps, now.gaps);
    int turns = 0, until = now.gaps + MANY;
    for (; now.gaps < until; turns++) {
        now = turn(&now, &swept);
    }
    assert_true(turns >= MANY / TOLD_PER_TURN / 2);
    assert_true(swept >= MANY / 2);
    WAIT(count().readies == 2 * MANY);
    end();
}

struct swept {
    struct map_node node;
    char name[8];
    bool seen;
};

static int unseen;

static void see(void *arg, struct map_node *node)
{
    struct swept *swept = MAP_ENTRY(node, struct swept, node);
    (void)arg;
    unseen -= !swept->seen;
    swept->seen = true;
}

/* Something happens to all in each turn, and they are more than a turn looks at. */
static void who_comes_last_is_swept_too(void **state)
{
    enum { VERY_MANY = 4 * SWEEP_STEPS * TOLD_PER_TURN, TURNS_MOST = 5000 };
    struct swept *nodes = mem_zalloc(VERY_MANY * sizeof(*nodes));
    struct map map;
    struct sweep sweep;
    (void)state;
    lab_nodes(1);
    map_init(&map);
    for (int i = 0; i < VERY_MANY; i++) {
        int len = snprintf(nodes[i].name, sizeof(nodes[i].name), "%d", i);
        map_insert(&map, &nodes[i].node, span_of(nodes[i].name, (size_t)len));
    }
    unseen = VERY_MANY;
    sweep_init(&sweep, lab.nodes[0], &map, see);
    for (int turns = 0; unseen > 0; turns++) {
        assert_in_range(turns, 0, TURNS_MOST);
        sweep_start(&sweep);
        lab_turn();
    }
    sweep_deinit(&sweep);
    map_deinit(&map);
    free(nodes);
}

/* The link goes and is back before most have been told that it went. */
static void a_link_is_told_in_turns(void **state)
{
    (void)state;
    uint64_t swept = 0;
    const struct shard_set one = shard_set_one(0);
    begin();
    struct told now = count(), first = now;
    store_on_link(lab.nodes[0], &one, false, "gone");
    for (int i = 0; i < 4; i++) {
        now = turn(&now, &swept);
    }
    assert_true(now.stales < first.stales + MANY);
    store_on_link(lab.nodes[0], &one, true, "back");
    while (now.stales < first.stales + MANY || now.gaps < first.gaps + MANY) {
        now = turn(&now, &swept);
    }
    WAIT(count().currents >= first.currents + MANY && count().readies == 2 * MANY);
    assert_int_equal(count().stales, first.stales + MANY);
    end();
}

static int chores(struct store *store)
{
    int count = 0;
    LIST_EACH(it, &store->chores) {
        count++;
    }
    return count;
}

static void on_released(void *arg)
{
    *(bool *)arg = true;
}

/* The node takes leave. */
static void claims_are_released_in_turns(void **state)
{
    (void)state;
    bool released = false;
    begin();
    WAIT(chores(lab.nodes[0]) == 0);
    store_release_all(lab.nodes[0], on_released, &released);
    assert_in_range(chores(lab.nodes[0]), 1, 8);
    WAIT(released);
    assert_int_equal(lab.nodes[0]->roster.claims, 0);
    end();
}

/* ------------------------------------------------------------------------------------ other servers */

/* The partitions behind it name no inbox, no matter who has them. */
static unsigned last_that_names(const struct store *store)
{
    unsigned last = 0;
    while (store->backend->owner[last] == store->backend->owner[0]) {
        last++;
    }
    return last;
}

/* All partitions of the first server, but those that may name an inbox, go to the second. Returns how many of the
 * names are in them. */
static int hand_over(struct store *store)
{
    unsigned last = last_that_names(store);
    int names = 0;
    for (int i = 0; i < MANY; i++) {
        char name[16];
        snprintf(name, sizeof(name), "k%d", i);
        unsigned partition = partition_of(span_str(name));
        names += partition > last && store->backend->owner[partition] == 0;
    }
    for (unsigned p = last + 1; p < PARTITIONS; p++) {
        store->backend->owner[p] = 1;
    }
    store_on_owner(store);
    return names;
}

/* Nothing of it is done at once. */
static void other_servers_are_told_in_turns(void **state)
{
    (void)state;
    uint64_t swept = 0;
    begin();
    WAIT(chores(lab.nodes[0]) == 0);
    struct told now = count(), first = now;
    int names = hand_over(lab.nodes[0]);
    assert_in_range(names, MANY / 4, MANY * 3 / 4);
    assert_in_range(chores(lab.nodes[0]), 1, 32); /* two sweeps, inboxes, parts of the stream */
    while (now.stales < first.stales + names || now.gaps < first.gaps + names) {
        now = turn(&now, &swept);
    }
    assert_true(swept >= MANY);
    WAIT(count().currents >= first.currents + names && count().readies == MANY + names);
    assert_int_equal(count().stales, first.stales + names);
    for (int i = 0; i < MANY; i++) {
        assert_true(watcher_has(&watchers[i], "n", "1"));
        assert_int_equal(watchers[i].gones, 0);
    }
    end();
}

/* In the moment in which it gets another server, before it was swept. */
static void give_away(struct store *store, const char *name)
{
    uint8_t *owner = &store->backend->owner[partition_of(span_str(name))];
    *owner = (uint8_t)(1 - *owner);
    store_on_owner(store);
}

/* A name whose partition names no inbox. */
static const char *plain_name(void)
{
    static char name[16];
    unsigned i = 0;
    do {
        snprintf(name, sizeof(name), "t%u", i++);
    } while (partition_of(span_str(name)) <= last_that_names(lab.nodes[0]));
    return name;
}

static void a_topic_hears_nothing_of_its_old_server(void **state)
{
    struct listener listener = {0};
    char late[64];
    (void)state;
    lab_nodes(1);
    const char *name = plain_name();
    struct store *store = lab.nodes[0];
    listener_start(&listener, store, name, BUS_ECHO);
    WAIT(listener.readies == 1);
    give_away(store, name);
    snprintf(late, sizeof(late), "1 other 1\nlate");
    bus_on_message(store, span_str(lab_key("b", name)), span_str(late));
    assert_string_equal(listener_log(&listener), "R");
    WAIT(listener.readies == 2);
    assert_int_equal(publish(0, name, "new"), 0);
    WAIT(listener.messages == 1);
    assert_string_equal(listener_log(&listener), "R G R 'new'");
    listener_stop(&listener);
}

static bool is_in(const struct roster_member *member, struct span *node)
{
    *node = member->name;
    return true;
}

/* What was said by the old server's ways is not kept; what is said goes by the new one's, and is heard behind the
 * gap. */
static void a_crowd_goes_on_at_its_new_server(void **state)
{
    struct listener listener[3] = {0};
    (void)state;
    lab_nodes(2);
    const char *name = plain_name();
    struct store *store = lab.nodes[0];
    listener_attend(&listener[0], lab.nodes[1], name);
    for (int i = 1, found = 0; found < 3; i++) { /* both inboxes are open */
        char other[16];
        snprintf(other, sizeof(other), "o%d", i);
        int shard = store->backend->owner[partition_of(span_str(other))];
        if ((found & 1 << shard) == 0) {
            found |= 1 << shard;
            listener_attend(&listener[1 + shard], lab.nodes[1], other);
        }
    }
    claim(1, name, "node1", "in");
    WAIT(listener[0].readies == 1 && listener[1].readies == 1 && listener[2].readies == 1);
    struct crowd *crowd = crowd_open(store, span_str(name), is_in);
    assert_int_equal(crowd_say(crowd, SPAN("1")), 0);
    WAIT(listener[0].messages == 1 && store->kept_bytes == 0);
    assert_int_equal(crowd_say(crowd, SPAN("never heard")), 0);
    give_away(store, name);
    give_away(lab.nodes[1], name);
    assert_int_equal(store->kept_bytes, strlen("never heard"));
    assert_int_equal(crowd_say(crowd, SPAN("22")), 0);
    assert_int_equal(store->kept_bytes, 2);
    WAIT(listener[0].messages == 2 && store->kept_bytes == 0);
    assert_string_equal(listener_log(&listener[0]), "R '1' G R '22'");
    crowd_close(&crowd);
    for (int i = 0; i < 3; i++) {
        listener_stop(&listener[i]);
    }
}

struct answers {
    int all, in_turn;
};

static void on_answer(void *arg, uint64_t tag, enum lookup_result result, struct span value)
{
    struct answers *answers = arg;
    (void)tag, (void)result, (void)value;
    answers->all++;
    answers->in_turn++;
}

/* They lie in the socket together, and are taken from it in one read. */
static void replies_are_taken_in_turns(void **state)
{
    (void)state;
    enum { ASKED = 1000, TAKEN_PER_TURN = 128 };
    struct answers answers = {0};
    const struct lookup_then then = {on_answer, &answers, 0};
    int turns = 0;
    lab_nodes(1);
    for (int i = 0; i < ASKED; i++) {
        assert_int_equal(lookup_get(lab.nodes[0], SPAN("k"), &then), 0);
    }
    while (answers.all < ASKED) {
        answers.in_turn = 0;
        lab_turn();
        assert_true(answers.in_turn <= TAKEN_PER_TURN);
        turns += answers.in_turn > 0;
        usleep(turns == 0 ? 1000 : 0);
    }
    assert_true(turns >= ASKED / TAKEN_PER_TURN);
}

int test_sweep(void)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(a_gap_is_told_in_turns),
        LAB_TEST(who_comes_last_is_swept_too),
        LAB_TEST(a_link_is_told_in_turns),
        LAB_TEST(claims_are_released_in_turns),
    };
    const struct CMUnitTest at_redis[] = {LAB_TEST(replies_are_taken_in_turns)};
    const struct CMUnitTest at_two[] = {
        LAB_TEST(other_servers_are_told_in_turns),
        LAB_TEST(a_topic_hears_nothing_of_its_old_server),
        LAB_TEST(a_crowd_goes_on_at_its_new_server),
    };
    return cmocka_run_group_tests_name("sweep", tests, lab_memory, lab_end) +
           cmocka_run_group_tests_name("other servers", at_two, lab_shards, lab_end) +
           cmocka_run_group_tests_name("replies", at_redis, lab_redis, lab_end);
}
