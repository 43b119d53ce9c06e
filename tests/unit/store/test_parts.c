/* SPDX-License-Identifier: MIT */
/* The parts of a stream, at a list of two servers: what is whole, what is told, who goes on. */
#include "tests.h"

#include "store/base/clock.h"
#include "store/store_impl.h"
#include "store/stream.h"
#include "store/stream_call.h"
#include "store/stream_follow.h"
#include "store/stream_part.h"
#include "store/stream_read.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { LANES = STREAM_PARTS, MOST = 512 };

static struct {
    int answers;
    struct stream_result result; /* the last one */
} said;

/* All that was read, of all parts. */
static struct {
    unsigned answers;
    size_t count;
    struct {
        unsigned part, lane;
        uint64_t seq;
        char payload[16];
    } entries[MOST];
} seen;

static void on_outcome(void *arg, const struct stream_result *result)
{
    (void)arg;
    said.answers++;
    said.result = *result;
}

static void on_read(void *arg, bool ok, const struct stream_head *head,
                    const struct stream_entry *entries, size_t count)
{
    (void)head;
    seen.answers++;
    for (size_t i = 0; ok && i < count && seen.count < MOST; i++, seen.count++) {
        seen.entries[seen.count].part = (unsigned)(uintptr_t)arg;
        seen.entries[seen.count].lane = entries[i].lane;
        seen.entries[seen.count].seq = entries[i].seq;
        snprintf(seen.entries[seen.count].payload, sizeof(seen.entries[0].payload), "%.*s",
                 SPAN_ARG(entries[i].payload));
    }
}

/* Those of the servers that are there. */
static void read_all(int node)
{
    unsigned asked = 0;
    struct stream_from from[LANES];
    for (unsigned i = 0; i < LANES; i++) {
        from[i] = (struct stream_from){i, 0};
    }
    memset(&seen, 0, sizeof(seen));
    for (uintptr_t part = 0; part < STREAM_PARTS; part++) {
        asked += stream_read(lab.nodes[node], (unsigned)part, from, LANES, MOST, on_read,
                             (void *)part) == 0;
    }
    WAIT(seen.answers == asked);
}

static int times_of(const char *payload)
{
    int times = 0;
    for (size_t i = 0; i < seen.count; i++) {
        times += strcmp(seen.entries[i].payload, payload) == 0;
    }
    return times;
}

static void begin(int nodes, uint64_t entries)
{
    memset(&said, 0, sizeof(said));
    lab_nodes(nodes);
    for (int i = 0; i < nodes; i++) {
        stream_setup(lab.nodes[i], &(struct stream_limits){LANES, entries, true});
    }
    WAIT(stream_is_spread(lab.nodes[0]));
}

/* The first lane that is at that server. */
static unsigned lane_at(unsigned shard)
{
    unsigned lane = 0;
    while (stream_part_home(lab.nodes[0], lane) != shard) {
        lane++;
        assert_true(lane < LANES);
    }
    return lane;
}

static uint64_t bit(unsigned lane)
{
    return UINT64_C(1) << lane;
}

static int put(unsigned lane, const char *payload)
{
    const struct stream_item item = {lane, SPAN("t"), span_str(payload)};
    return stream_append(lab.nodes[0], &item, 1, on_outcome, NULL);
}

static void put_and_wait(unsigned lane, const char *payload)
{
    int before = said.answers;
    assert_int_equal(put(lane, payload), 0);
    WAIT(said.answers > before);
}

/* One item in each of both lanes. */
static int put_both(unsigned a, unsigned b, const char *payload, bool apart)
{
    const struct stream_item items[] = {{a, SPAN("t"), span_str(payload)},
                                        {b, SPAN("t"), span_str(payload)}};
    struct buf flat = {0};
    chunk_begin(&flat);
    stream_item_put(&flat, &items[0]);
    stream_item_put(&flat, &items[1]);
    struct chunk *chunk = chunk_end(&flat);
    int begun = (apart ? stream_append_apart : stream_append_chunk)(lab.nodes[0], chunk, 2,
                                                                    on_outcome, NULL);
    chunk_unref(chunk);
    return begun;
}

static void what_touches_all_is_stored_in_all_and_no_number_twice(void **state)
{
    enum { EACH = 3 };
    struct stream_item items[LANES * EACH];
    (void)state;
    begin(2, 100000);
    for (unsigned i = 0; i < LANES * EACH; i++) {
        items[i] = (struct stream_item){i % LANES, SPAN("t"), SPAN("x")};
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(stream_append(lab.nodes[i % 2], items, LANES * EACH, on_outcome, NULL), 0);
    }
    WAIT(said.answers == 4);
    assert_int_equal(said.result.outcome, STREAM_STORED);
    assert_int_equal(said.result.stored, UINT64_C(0xffff));
    read_all(1);
    assert_int_equal(seen.count, 4 * LANES * EACH);
    for (size_t i = 0; i < seen.count; i++) {
        assert_int_equal(seen.entries[i].lane % STREAM_PARTS, seen.entries[i].part);
        for (size_t j = 0; j < i; j++) {
            assert_true(seen.entries[j].seq != seen.entries[i].seq);
        }
    }
    assert_true(lane_at(0) != lane_at(1)); /* both servers have some */
}

static void a_server_that_is_away_takes_only_its_lanes_along(void **state)
{
    (void)state;
    begin(1, 100000);
    unsigned here = lane_at(0), away = lane_at(1);
    redis_kill(&lab.servers[1]);
    WAIT(!stream_reached(lab.nodes[0], away));
    put_and_wait(here, "alone");
    assert_int_equal(said.result.outcome, STREAM_STORED);
    WAIT(put(away, "lost") == -1);
    assert_int_equal(put_both(here, away, "both", false), -1);
    int before = said.answers;
    assert_int_equal(put_both(here, away, "apart", true), 0);
    WAIT(said.answers > before);
    assert_int_equal(said.result.outcome, STREAM_REFUSED);
    assert_int_equal(said.result.stored, bit(here));
    assert_int_equal(said.result.refused, bit(away));
    read_all(0);
    assert_int_equal(times_of("alone"), 1);
    assert_int_equal(times_of("both"), 0);
    assert_int_equal(times_of("apart"), 1);
    redis_start(&lab.servers[1], NULL, NULL);
    WAIT(put_both(here, away, "again", false) == 0);
    WAIT(said.answers == before + 2);
    assert_int_equal(said.result.outcome, STREAM_STORED);
    read_all(0);
    assert_int_equal(times_of("again"), 2);
}

/* The server dies with its share on the way: the other one has stored its own. */
static void what_is_under_way_when_a_server_dies_is_told(void **state)
{
    (void)state;
    begin(1, 100000);
    unsigned here = lane_at(0), away = lane_at(1);
    put_and_wait(away, "first");
    kill(lab.servers[1].pid, SIGSTOP);
    int before = said.answers;
    assert_int_equal(put_both(here, away, "both", false), 0);
    WAIT(said.answers > before);
    assert_int_equal(said.result.outcome, STREAM_UNKNOWN);
    assert_int_equal(said.result.stored, bit(here));
    assert_int_equal(said.result.refused, 0);
    kill(lab.servers[1].pid, SIGCONT);
    WAIT(stream_reached(lab.nodes[0], away));
    read_all(0);
    assert_in_range(times_of("both"), 1, 2);
}

/* One that has not answered for a second is as one that is away: what came first is in doubt, no more. */
static void beside_a_server_that_stands_still_nothing_more_is_shared_out(void **state)
{
    (void)state;
    lab.lease_ms = 8000; /* it is still believed in */
    begin(1, 100000);
    unsigned here = lane_at(0), away = lane_at(1);
    put_and_wait(away, "first");
    kill(lab.servers[1].pid, SIGSTOP);
    uint64_t since = clock_monotonic_ms();
    assert_int_equal(put_both(here, away, "both", false), 0);
    WAIT(clock_monotonic_ms() - since > 1100);
    assert_true(stream_reached(lab.nodes[0], away));
    assert_int_equal(put_both(here, away, "no more", false), -1);
    assert_int_equal(put(here, "alone"), 0);
    kill(lab.servers[1].pid, SIGCONT);
    WAIT(said.answers == 3);
    WAIT(put_both(here, away, "again", false) == 0);
    WAIT(said.answers == 4);
    read_all(0);
    assert_int_equal(times_of("no more"), 0);
    assert_int_equal(times_of("again"), 2);
}

static void where_one_is_full_the_others_say_which_is_refused(void **state)
{
    (void)state;
    begin(1, 2 * STREAM_PARTS); /* two in each */
    unsigned full = lane_at(0), free = lane_at(1);
    put_and_wait(full, "a");
    put_and_wait(full, "b");
    int before = said.answers;
    assert_int_equal(put_both(full, free, "c", false), 0);
    WAIT(said.answers > before);
    assert_int_equal(said.result.outcome, STREAM_FULL);
    assert_int_equal(said.result.stored, bit(free));
    assert_int_equal(said.result.refused, bit(full));
    /* A caller that sends all of it again would store the other share twice. */
    assert_int_equal(put_both(full, free, "c", false), -1);
    put_and_wait(full, "d");
    assert_int_equal(said.result.outcome, STREAM_FULL);
    put_and_wait(free, "e");
    assert_int_equal(said.result.outcome, STREAM_STORED);
    read_all(0);
    assert_int_equal(seen.count, 4);
    assert_int_equal(times_of("c"), 1);
}

/* What waits is bounded; an append that was taken is taken in each part all the same. */
static void at_the_bound_of_what_waits_nothing_is_cut(void **state)
{
    enum { MIB = 1024 * 1024, WAITING = 15 };
    (void)state;
    begin(1, 100000);
    unsigned a = lane_at(0), b = lane_at(1), first = a < b ? a : b, last = a < b ? b : a;
    char *large = mem_zalloc(MIB);
    memset(large, 'x', MIB);
    const struct stream_item items[] = {{first, SPAN("t"), span_of(large, MIB)},
                                        {last, SPAN("t"), span_of(large, MIB)}};
    for (int i = 0; i < WAITING; i++) {
        assert_int_equal(stream_append(lab.nodes[0], &items[1], 1, on_outcome, NULL), 0);
    }
    assert_int_equal(stream_append(lab.nodes[0], items, 2, on_outcome, NULL), 0);
    assert_int_equal(put(last, "more than may wait"), -1);
    free(large);
    WAIT(said.answers == WAITING + 1);
    assert_int_equal(said.result.outcome, STREAM_STORED);
    assert_int_equal(said.result.stored, bit(first) | bit(last));
}

static void say_on_roll(const char *words)
{
    char value[64] = "";
    for (int s = 0; s < 2; s++) {
        struct redis_server_process *server = &lab.servers[s];
        snprintf(value, sizeof(value), "99999999999999999 %s", words);
        const char *script = s == 0 ? "0" : "3"; /* the database of the URL */
        freeReplyObject(redis_ask(server, "EVAL %s 1 %s:roll %s %s",
                                  "redis.call('SELECT', ARGV[1]); "
                                  "redis.call('HSET', KEYS[1], 's', '0'); "
                                  "if ARGV[2] == '99999999999999999 ' then "
                                  "return redis.call('HDEL', KEYS[1], 'nold') end "
                                  "return redis.call('HSET', KEYS[1], 'nold', ARGV[2])",
                                  lab.prefix, script, value));
    }
}

/* Do both rolls have that the node writes that form? Who comes and does not read it is kept waiting then. */
static bool rolls_have(const struct store *store, unsigned form)
{
    bool have = true;
    for (int s = 0; s < 2; s++) {
        redisReply *words = redis_ask(&lab.servers[s], "EVAL %s 1 %s:roll %s n%s",
                                      "redis.call('SELECT', ARGV[1]); "
                                      "return redis.call('HGET', KEYS[1], ARGV[2])",
                                      lab.prefix, s == 0 ? "0" : "3", store->node);
        const char *mine = words->type == REDIS_REPLY_STRING ? strchr(words->str, ' ') : NULL;
        have = have && mine != NULL && strtoul(mine, NULL, 10) == form;
        freeReplyObject(words);
    }
    return have;
}

/* A node of the release before reads the first part only: what it cannot read is not written. */
static void beside_a_node_that_knows_one_part_all_goes_there(void **state)
{
    (void)state;
    begin(1, 100000);
    unsigned lane = 1;
    put_and_wait(lane, "spread");
    say_on_roll("1 1 1"); /* as the release before does */
    WAIT(!stream_is_spread(lab.nodes[0]));
    put_and_wait(lane, "narrow");
    for (int i = 0; i < 2; i++) {
        put_and_wait(0, "others may write to other parts already");
    }
    WAIT(rolls_have(lab.nodes[0], 1));
    say_on_roll("");
    WAIT(stream_is_spread(lab.nodes[0]));
    assert_true(rolls_have(lab.nodes[0], STORE_WIRE_PARTS));
    put_and_wait(lane, "spread again");
    read_all(0);
    assert_int_equal(seen.count, 5);
    uint64_t first = 0, second = 0, third = 0;
    for (size_t i = 0; i < seen.count; i++) {
        assert_int_equal(seen.entries[i].seq % STREAM_PARTS, seen.entries[i].part);
        if (seen.entries[i].lane == 0) {
            continue;
        }
        bool narrow = strcmp(seen.entries[i].payload, "narrow") == 0;
        assert_int_equal(seen.entries[i].part, narrow ? 0 : lane);
        uint64_t *seq = narrow                                           ? &second
                        : strcmp(seen.entries[i].payload, "spread") == 0 ? &first
                                                                         : &third;
        *seq = seen.entries[i].seq;
    }
    assert_true(first < second && second < third);
}

static void put_large(unsigned lane, size_t len)
{
    char *large = mem_zalloc(len);
    memset(large, 'x', len);
    const struct stream_item item = {lane, SPAN("t"), span_of(large, len)};
    int before = said.answers;
    assert_int_equal(stream_append(lab.nodes[0], &item, 1, on_outcome, NULL), 0);
    free(large);
    WAIT(said.answers > before);
    assert_int_equal(said.result.outcome, STREAM_STORED);
}

/* What one server was given last is kept while it is away, however long; that leaves the others some room. */
static void what_is_kept_for_a_server_that_is_away_costs_the_others_nothing(void **state)
{
    enum { LARGE = 900 * 1024, SOME = 200 * 1024 };
    (void)state;
    begin(1, 100000);
    unsigned here = lane_at(0), away = lane_at(1);
    for (int i = 0; i < 9; i++) {
        put_large(away, LARGE);
    }
    redis_kill(&lab.servers[1]);
    WAIT(!stream_reached(lab.nodes[0], away));
    put_large(here, SOME);
    uint64_t since = clock_monotonic_ms();
    WAIT(clock_monotonic_ms() - since > 500); /* what is too much goes with the next tick */
    redis_kill(&lab.servers[0]);
    WAIT(!stream_reached(lab.nodes[0], here));
    redis_start(&lab.servers[0], NULL, NULL); /* without what it had */
    WAIT(put(here, "next") == 0);
    int before = said.answers;
    WAIT(said.answers > before);
    assert_int_equal(lab.nodes[0]->stats.lost, 0);
    redis_start(&lab.servers[1], NULL, NULL);
    WAIT(stream_reached(lab.nodes[0], away));
}

/* What was said while all lanes lay in the first part is brought back there, whatever lies there by now. */
static void a_call_of_all_lanes_is_brought_back_into_a_part_of_one(void **state)
{
    (void)state;
    begin(1, 100000);
    unsigned lane = LANES - 1, home = stream_part_home(lab.nodes[0], 0);
    say_on_roll("1 1 1");
    WAIT(!stream_is_spread(lab.nodes[0]));
    put_and_wait(lane, "narrow");
    say_on_roll("");
    WAIT(stream_is_spread(lab.nodes[0]));
    redis_kill(&lab.servers[home]);
    WAIT(!stream_reached(lab.nodes[0], 0));
    redis_start(&lab.servers[home], NULL, NULL); /* without what it had */
    int before = said.answers;
    WAIT(put(0, "spread") == 0);
    WAIT(said.answers > before);
    assert_int_equal(said.result.outcome, STREAM_STORED);
    read_all(0);
    assert_int_equal(times_of("narrow"), 1);
    assert_int_equal(times_of("spread"), 1);
}

/* What was given to the first part when that was all, and goes out when it is not any more, has rooms that
 * were, and will be, elsewhere. */
static void what_waits_while_rooms_go_elsewhere_is_stored_and_numbered_between(void **state)
{
    (void)state;
    begin(1, 100000);
    struct store *store = lab.nodes[0];
    unsigned lane = 1;
    put_and_wait(lane, "spread");
    say_on_roll("1 1 1");
    WAIT(!stream_is_spread(store));
    uint64_t ahead =
        store->stream.parts[lane].seen + 1000000000; /* so said a server whose clock is */
    store->stream.parts[lane].seen = ahead;
    assert_int_equal(put(lane, "on its way"), 0);
    store->wire_used = STORE_WIRE_PARTS;
    assert_true(stream_is_spread(store));
    WAIT(said.answers == 2);
    assert_int_equal(said.result.outcome, STREAM_STORED);
    assert_true(store->stream.parts[0].seen > ahead);
    assert_true(store->stream.narrow_seen == store->stream.parts[0].seen);
    say_on_roll("");
}

/* ------------------------------------------------------------------------------------ following */

static struct {
    int ready, doubts;
    bool busy;
    struct buf log;
} heard;

static bool is_wanted(void *arg)
{
    (void)arg;
    return true;
}

static bool is_busy(void *arg)
{
    (void)arg;
    return heard.busy;
}

static void on_ready(void *arg)
{
    (void)arg;
    heard.ready++;
}

static void on_entries(void *arg, const struct stream_entry *entries, size_t count)
{
    (void)arg;
    for (size_t i = 0; i < count; i++) {
        buf_printf(&heard.log, "%.*s ", SPAN_ARG(entries[i].payload));
    }
}

static void on_missed(void *arg, uint64_t count, uint64_t last)
{
    (void)arg, (void)last;
    buf_printf(&heard.log, "-%d ", (int)count);
}

static void on_doubt(void *arg, uint64_t last)
{
    (void)arg, (void)last;
    heard.doubts++;
}

static struct stream_follow *follow(int node)
{
    static const struct stream_follow_events events = {is_wanted,  is_busy,   on_ready,
                                                       on_entries, on_missed, on_doubt};
    buf_free(&heard.log);
    memset(&heard, 0, sizeof(heard));
    struct stream_follow *made = stream_follow_new(&(struct stream_follow_options){
        .store = lab.nodes[node], .lanes = LANES, .budget = 1024 * 1024, .events = &events});
    stream_follow_start(made);
    return made;
}

static bool has_heard(const char *word)
{
    return heard.log.len > 0 && strstr(buf_text(&heard.log), word) != NULL;
}

static void who_follows_hears_all_parts_each_for_itself(void **state)
{
    (void)state;
    begin(2, 100000);
    unsigned here = lane_at(0), away = lane_at(1);
    put_and_wait(here, "before");
    struct stream_follow *follower = follow(1);
    WAIT(heard.ready > 0);
    assert_true(stream_follow_is_ready(follower));
    put_and_wait(here, "one");
    put_and_wait(away, "two");
    WAIT(has_heard("one ") && has_heard("two "));
    redis_kill(&lab.servers[1]);
    WAIT(!stream_reached(lab.nodes[0], away));
    put_and_wait(here, "three");
    WAIT(has_heard("three "));
    redis_start(&lab.servers[1], NULL, NULL); /* without what it had */
    WAIT(put(away, "four") == 0);
    WAIT(has_heard("four ") && heard.doubts > 0);
    assert_null(strstr(buf_text(&heard.log), "before"));
    stream_follow_free(&follower);
    buf_free(&heard.log);
}

/* A listener that comes while a server is away hears the others at once, that one once it is back. */
static void who_comes_while_a_server_is_away_is_let_in(void **state)
{
    (void)state;
    begin(2, 100000);
    unsigned here = lane_at(0), away = lane_at(1);
    redis_kill(&lab.servers[1]);
    WAIT(!stream_reached(lab.nodes[0], away) && !stream_reached(lab.nodes[1], away));
    struct stream_follow *follower = follow(1);
    WAIT(heard.ready > 0);
    put_and_wait(here, "one");
    WAIT(has_heard("one "));
    assert_int_equal(heard.doubts, 0);
    redis_start(&lab.servers[1], NULL, NULL);
    WAIT(heard.doubts > 0);
    WAIT(put(away, "two") == 0);
    WAIT(has_heard("two "));
    stream_follow_free(&follower);
    buf_free(&heard.log);
}

/* What comes meanwhile stays in the stream. */
static void nothing_is_read_for_who_is_busy(void **state)
{
    (void)state;
    begin(1, 100000);
    struct stream_follow *follower = follow(0);
    WAIT(heard.ready > 0);
    put_and_wait(0, "one");
    WAIT(has_heard("one "));
    heard.busy = true;
    put_and_wait(0, "two");
    lab_run(200);
    put_and_wait(0, "three");
    lab_run(200);
    assert_false(has_heard("three "));
    heard.busy = false;
    WAIT(has_heard("three "));
    assert_non_null(strstr(buf_text(&heard.log), "one two three "));
    stream_follow_free(&follower);
    buf_free(&heard.log);
}

int test_parts(void)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(what_touches_all_is_stored_in_all_and_no_number_twice),
        LAB_TEST(a_server_that_is_away_takes_only_its_lanes_along),
        LAB_TEST(what_is_under_way_when_a_server_dies_is_told),
        LAB_TEST(beside_a_server_that_stands_still_nothing_more_is_shared_out),
        LAB_TEST(where_one_is_full_the_others_say_which_is_refused),
        LAB_TEST(at_the_bound_of_what_waits_nothing_is_cut),
        LAB_TEST(beside_a_node_that_knows_one_part_all_goes_there),
        LAB_TEST(what_is_kept_for_a_server_that_is_away_costs_the_others_nothing),
        LAB_TEST(a_call_of_all_lanes_is_brought_back_into_a_part_of_one),
        LAB_TEST(what_waits_while_rooms_go_elsewhere_is_stored_and_numbered_between),
        LAB_TEST(who_follows_hears_all_parts_each_for_itself),
        LAB_TEST(who_comes_while_a_server_is_away_is_let_in),
        LAB_TEST(nothing_is_read_for_who_is_busy),
    };
    return cmocka_run_group_tests_name("parts of the stream", tests, lab_shards, lab_end);
}
