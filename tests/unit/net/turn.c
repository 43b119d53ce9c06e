/* SPDX-License-Identifier: MIT */
/* Which connection is read first, and for how long. Some take time, which the clock of fake_clock.c lets pass at once. */
#include "node/net/conn.h"
#include "node/net/net.h"
#include "node/net/work.h"
#include "store/base/clock.h"
#include "store/base/timer.h"
#include "tests/unit/cmocka_all.h"

#include <sys/socket.h>
#include <unistd.h>

enum { PLAYERS = 300 };

struct player {
    struct scene *scene;
    struct conn *conn;
    int peer;
    unsigned takes_us;
    unsigned writes_us;    /* when it has all */
    size_t answers;        /* bytes that are sent to it when it was read */
    bool costs;            /* more than its read */
    struct player *before; /* has its answer when this one is read */
    struct player *tells;  /* is poked when this one is timed out or asked to go, and is answered */
    bool told;             /* had `before` its answer then? */
    char name;
};

/* Letters of those that were read, in order. */
struct scene {
    struct loop *loop;
    struct wheel *wheel;
    struct metrics metrics;
    struct net *net;
    struct player players[PLAYERS];
    unsigned count, wanted;
    char order[512];
    unsigned read;
    unsigned closed_us; /* how long a closed() takes */
    unsigned asked, closed, in_turn, most_in_turn;
    unsigned wrote;             /* to how many that take time */
    unsigned reads, most_reads; /* of this turn, and of any */
    uint64_t read_turn;
    uint64_t turn;
    struct net_work work;
    unsigned steps;
};

/* Counts what one turn has of something. */
static void count_in_turn(struct scene *scene)
{
    scene->in_turn = scene->turn == loop_turn(scene->loop) ? scene->in_turn + 1 : 1;
    scene->turn = loop_turn(scene->loop);
    scene->most_in_turn =
        scene->in_turn > scene->most_in_turn ? scene->in_turn : scene->most_in_turn;
}

static void answer(struct player *player)
{
    if (player->answers > 0) {
        struct chunk *chunk = chunk_new(player->answers);
        memset(chunk->data, 'x', player->answers);
        assert_int_equal(conn_send(player->conn, chunk), 0);
        chunk_unref(chunk);
    }
}

static size_t on_data(void *arg, struct span bytes)
{
    struct player *player = arg;
    struct scene *scene = player->scene;
    if (player->takes_us > 0) {
        usleep(player->takes_us);
    }
    if (player->costs) {
        conn_set_costly(player->conn);
    }
    answer(player);
    if (player->before != NULL) {
        char got[1];
        assert_int_equal(recv(player->before->peer, got, 1, MSG_DONTWAIT), 1);
    }
    scene->order[scene->read++] = player->name;
    scene->reads = scene->read_turn == loop_turn(scene->loop) ? scene->reads + 1 : 1;
    scene->read_turn = loop_turn(scene->loop);
    scene->most_reads = scene->reads > scene->most_reads ? scene->reads : scene->most_reads;
    if (scene->read == scene->wanted) {
        loop_stop(scene->loop);
    }
    return bytes.len;
}

static void on_closed(void *arg, enum conn_end end)
{
    struct scene *scene = ((struct player *)arg)->scene;
    (void)end;
    usleep(scene->closed_us);
    scene->closed++;
    if (scene->closed_us > 0) {
        count_in_turn(scene);
    }
    if (scene->closed_us > 0 && scene->closed == scene->count) {
        loop_stop(scene->loop);
    }
}

/* Between what is written to few and what is written to many. */
static void on_poked(void *arg)
{
    struct player *player = arg;
    char got[1];
    player->told = recv(player->before->peer, got, 1, MSG_DONTWAIT) == 1;
    loop_stop(player->scene->loop);
}

static void tell(struct player *player)
{
    if (player->tells != NULL) {
        answer(player);
        conn_yield(player->tells->conn);
    }
}

static void on_timer(void *arg)
{
    tell(arg);
}

static void on_drain(void *arg)
{
    struct scene *scene = ((struct player *)arg)->scene;
    tell(arg);
    scene->asked++;
    count_in_turn(scene);
    if (scene->asked == scene->count) {
        loop_stop(scene->loop);
    }
}

/* All is written. */
static void on_written(void *arg)
{
    struct player *player = arg;
    struct scene *scene = player->scene;
    usleep(player->writes_us);
    if (player->writes_us > 0) {
        count_in_turn(scene);
        scene->order[scene->wrote++] = player->name;
    }
    if (scene->wrote > 0 && scene->wrote == scene->wanted) {
        loop_stop(scene->loop);
    }
}

static const struct conn_handler handler = {.data = on_data,
                                            .drained = on_written,
                                            .timer = on_timer,
                                            .poked = on_poked,
                                            .closed = on_closed,
                                            .drain = on_drain};

static int set_up(void **state)
{
    struct scene *scene = mem_zalloc(sizeof(*scene));
    scene->loop = loop_new();
    loop_measure(scene->loop, &scene->metrics);
    scene->wheel = wheel_new(scene->loop);
    scene->net = net_new(scene->loop, scene->wheel, &scene->metrics,
                         &(struct net_limits){.queue = 1 << 20, .connections = PLAYERS});
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    net_free(&scene->net);
    wheel_free(&scene->wheel);
    loop_free(&scene->loop);
    for (unsigned i = 0; i < scene->count; i++) {
        close(scene->players[i].peer);
    }
    free(scene);
    return 0;
}

static struct player *enter(struct scene *scene, char name, unsigned takes_us, bool member)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    struct player *player = &scene->players[scene->count++];
    *player = (struct player){.scene = scene, .peer = fds[1], .takes_us = takes_us, .name = name};
    player->conn = conn_new(scene->net, fds[0], &(struct address){.port = 1}, &handler, player);
    if (member) {
        conn_set_member(player->conn);
    }
    return player;
}

static void say(const struct player *player)
{
    assert_int_equal(write(player->peer, "x", 1), 1);
}

static void run_until(struct scene *scene, unsigned reads)
{
    scene->wanted = scene->read + reads;
    loop_run(scene->loop);
}

static uint64_t long_turns(const struct scene *scene, unsigned from_bucket)
{
    uint64_t count = scene->metrics.histogram[HISTOGRAM_LOOP_TURN].count;
    for (unsigned i = 0; i < from_bucket; i++) {
        count -= scene->metrics.histogram[HISTOGRAM_LOOP_TURN].buckets[i];
    }
    return count;
}

static void test_a_member_is_read_before_all_others(void **state)
{
    struct scene *scene = *state;
    for (char name = 'a'; name < 'a' + 20; name++) {
        say(enter(scene, name, 10, false));
    }
    say(enter(scene, 'M', 10, true));
    run_until(scene, 21);
    assert_string_equal(scene->order, "Mabcdefghijklmnopqrst");
}

/* Twenty of 2 ms each are not one turn of 40 ms; and each was first in line once. */
static void test_a_turn_ends_when_its_time_is_over(void **state)
{
    struct scene *scene = *state;
    for (char name = 'a'; name < 'a' + 20; name++) {
        say(enter(scene, name, 2000, false));
    }
    run_until(scene, 20);
    assert_string_equal(scene->order, "abcdefghijklmnopqrst");
    assert_true(scene->metrics.histogram[HISTOGRAM_LOOP_TURN].count >= 18);
    assert_true(scene->metrics.histogram[HISTOGRAM_LOOP_TURN].sum >= 0.038);
}

/* Between the long reads of others a member's come at once. */
static void test_a_member_waits_for_one_of_the_others_only(void **state)
{
    struct scene *scene = *state;
    for (char name = 'a'; name < 'a' + 8; name++) {
        say(enter(scene, name, 3000, false));
    }
    struct player *member = enter(scene, 'M', 10, true);
    run_until(scene, 2);
    say(member);
    run_until(scene, 3);
    assert_string_equal(scene->order, "abMcd");
    run_until(scene, 4);
}

/* The order in which `player` and a quick one are read when it speaks first. The kernel forgets before who
 * was ready. */
static void speak_before(struct scene *scene, struct player *player, struct player *quick)
{
    event_base_loop(loop_base(scene->loop), EVLOOP_NONBLOCK);
    say(player);
    say(quick);
    run_until(scene, 2);
}

/* A member that takes long goes behind, and comes back when it does not any more. */
static void test_who_takes_long_waits_behind(void **state)
{
    struct scene *scene = *state;
    struct player *slow = enter(scene, 'S', 2000, true), *quick = enter(scene, 'Q', 0, true);
    say(slow);
    run_until(scene, 1);
    speak_before(scene, slow, quick);
    slow->takes_us = 0;
    speak_before(scene, slow, quick);
    speak_before(scene, slow, quick);
    assert_string_equal(scene->order, "SQSQSSQ");
}

/* Like one that takes long: where it has work done elsewhere, or much written to it. */
static void test_who_costs_much_waits_behind(void **state)
{
    struct scene *scene = *state;
    struct player *one = enter(scene, 'C', 0, true), *two = enter(scene, 'A', 0, true);
    struct player *quick = enter(scene, 'Q', 0, true);
    one->costs = true;
    speak_before(scene, one, quick);
    one->costs = false;
    speak_before(scene, one, quick);
    speak_before(scene, one, quick);
    two->answers = 32 * 1024;
    speak_before(scene, two, quick);
    two->answers = 0;
    speak_before(scene, two, quick);
    speak_before(scene, two, quick);
    assert_string_equal(scene->order, "CQQCCQAQQAAQ");
}

/* A long message: its reads are short ones from the second on, so that its end is none, and it goes behind for eight
 * of them. */
static void test_a_long_message_is_read_in_parts_behind_others(void **state)
{
    enum { LONG = 40 * 1024 };
    static char text[LONG];
    struct scene *scene = *state;
    struct player *one = enter(scene, 'L', 0, true), *quick = enter(scene, 'Q', 0, true);
    one->costs = true;
    assert_int_equal(send(one->peer, text, LONG, 0), LONG); /* 40 KB at once */
    run_until(scene, 1);
    one->costs = false;
    event_base_loop(loop_base(scene->loop), EVLOOP_NONBLOCK);
    assert_int_equal(send(one->peer, text, LONG, 0), LONG); /* 16, 16, 8 */
    say(quick);
    run_until(scene, 4);
    for (unsigned i = 0; i < 4; i++) {
        speak_before(scene, one, quick);
    }
    speak_before(scene, one, quick); /* it was the eighth */
    speak_before(scene, one, quick);
    assert_string_equal(scene->order, "LQLLLQLQLQLQLQLLQ");
}

/* Eight have their time in the first turn. Who speaks again comes after those that waited. */
static void test_members_are_read_as_they_came(void **state)
{
    struct scene *scene = *state;
    for (char name = 'a'; name < 'a' + 12; name++) {
        say(enter(scene, name, 250, true));
    }
    run_until(scene, 8);
    say(&scene->players[0]);
    run_until(scene, 13 - scene->read);
    assert_string_equal(scene->order, "abcdefghijkla");
}

/* A turn's time for those behind is theirs with what is written for them. */
static void test_answers_of_those_behind_are_written_one_by_one(void **state)
{
    struct scene *scene = *state;
    struct player *first = enter(scene, 'a', 10, false), *second = enter(scene, 'b', 10, false);
    first->answers = 1;
    second->before = first;
    say(first);
    say(second);
    run_until(scene, 2);
    assert_string_equal(scene->order, "ab");
}

static void send_to(struct player *player, const char *text)
{
    struct chunk *chunk = chunk_copy(span_str(text));
    assert_int_equal(conn_send(player->conn, chunk), 0);
    chunk_unref(chunk);
}

/* What goes to few is written in this turn, and takes what waited for that peer with it. */
static void test_bulk_is_written_behind_what_goes_to_few(void **state)
{
    struct scene *scene = *state;
    char got[8] = "";
    struct player *first = enter(scene, 'a', 0, false), *second = enter(scene, 'b', 0, false);
    net_send_bulk(scene->net, true);
    send_to(first, "1");
    send_to(second, "2");
    net_send_bulk(scene->net, false);
    send_to(second, "3");
    say(first);
    run_until(scene, 1);
    assert_int_equal(read(second->peer, got, sizeof(got)), 2);
    assert_memory_equal(got, "23", 2);
    assert_int_equal(read(first->peer, got, sizeof(got)), 1);
}

/* Thousands are told something in one moment, each for itself: the oldest first, and others are read meanwhile. */
static void test_what_goes_to_few_is_written_in_turns(void **state)
{
    struct scene *scene = *state;
    char order[PLAYERS + 1] = "";
    struct player *member = enter(scene, 'M', 10, true);
    for (unsigned i = 1; i < PLAYERS; i++) {
        struct player *player = enter(scene, (char)('a' + i % 26), 0, true);
        player->writes_us = 100;
        send_to(player, "x");
        order[i - 1] = player->name;
    }
    scene->wanted = 40;
    loop_again(scene->loop);
    loop_run(scene->loop);
    assert_in_range(scene->most_in_turn, 1, 20);
    scene->read = PLAYERS; /* its letter stands behind theirs */
    say(member);
    scene->wanted = 60;
    loop_run(scene->loop);
    assert_int_equal(scene->read, PLAYERS + 1);
    scene->wanted = PLAYERS - 1;
    loop_run(scene->loop);
    assert_in_range(scene->most_in_turn, 1, 20);
    assert_memory_equal(scene->order, order, PLAYERS - 1);
}

/* Else what is to be written grew all the time. */
static void test_little_is_read_until_what_was_left_is_written(void **state)
{
    enum { TOLD = 100, ASKERS = 40, MOST_MEANWHILE = 2 };
    struct scene *scene = *state;
    for (unsigned i = 0; i < TOLD; i++) {
        struct player *player = enter(scene, 'a', 0, true);
        player->writes_us = 100;
        send_to(player, "x");
    }
    scene->wanted = 1;
    loop_again(scene->loop);
    loop_run(scene->loop);
    assert_in_range(scene->wrote, 1, TOLD / 2);
    for (unsigned i = 0; i < ASKERS; i++) {
        say(enter(scene, 'q', 100, true));
    }
    while (scene->wrote < TOLD) {
        scene->wanted = scene->wrote + 1;
        loop_run(scene->loop);
        assert_true(scene->wrote == TOLD || scene->most_reads <= MOST_MEANWHILE);
    }
    assert_true(scene->read > 0);
    run_until(scene, ASKERS - scene->read);
}

/* They took nothing for a while, and all take more at once. */
static void test_those_who_take_more_at_once_get_it_in_turns(void **state)
{
    enum { SLOW = 60, LONG = 300 * 1024 };
    struct scene *scene = *state;
    char *text = mem_zalloc(LONG);
    memset(text, 'x', LONG - 1);
    for (unsigned i = 0; i < SLOW; i++) {
        send_to(enter(scene, 'a', 0, true), text);
    }
    struct player *member = enter(scene, 'M', 10, true);
    say(member);
    run_until(scene, 1);
    for (unsigned i = 0; i < SLOW; i++) {
        struct player *player = &scene->players[i];
        assert_true(conn_queued(player->conn) > 0);
        player->writes_us = 200;
        while (recv(player->peer, text, LONG, MSG_DONTWAIT) > 0) {
        }
    }
    while (scene->wrote < SLOW) {
        scene->wanted = scene->wrote + 1;
        loop_run(scene->loop);
    }
    assert_in_range(scene->most_in_turn, 1, 11);
    free(text);
}

static void on_drained(void *arg)
{
    loop_stop(((struct scene *)arg)->loop);
}

/* `first` is told something in one moment with thousands of others: what goes to few is written before it. */
static struct player *enter_told(struct scene *scene)
{
    struct player *first = enter(scene, 'a', 0, false), *second = enter(scene, 'b', 0, false);
    first->answers = 1;
    first->tells = second;
    second->before = first;
    return second;
}

static void check_told(struct player *second)
{
    char got[1];
    assert_false(second->told);
    assert_int_equal(recv(second->before->peer, got, 1, MSG_DONTWAIT), 1);
}

static void test_what_timers_send_can_wait(void **state)
{
    struct scene *scene = *state;
    struct player *second = enter_told(scene);
    conn_set_timer(second->before->conn, 100);
    loop_run(scene->loop);
    check_told(second);
}

static void test_what_a_drain_sends_can_wait(void **state)
{
    struct scene *scene = *state;
    struct player *second = enter_told(scene);
    net_drain(scene->net, 10000, on_drained, scene);
    loop_run(scene->loop);
    check_told(second);
}

static bool step(struct net_work *work)
{
    usleep(100);
    CONTAINER_OF(work, struct scene, work)->steps++;
    return true;
}

/* Where reading has taken a turn's time, what goes on for many turns has a part of it only. */
static void test_a_turn_that_is_over_has_little_more(void **state)
{
    struct scene *scene = *state;
    net_work_init(&scene->work, step);
    net_work_queue(scene->net, &scene->work);
    say(enter(scene, 'a', 2000, true));
    run_until(scene, 1);
    assert_int_equal(scene->steps, 1);
    net_work_cancel(&scene->work);
}

static bool step_once(struct net_work *work)
{
    struct scene *scene = CONTAINER_OF(work, struct scene, work);
    scene->steps++;
    loop_stop(scene->loop);
    return false;
}

static void queue_once(void *arg)
{
    struct scene *scene = arg;
    if (scene->steps == 0) {
        net_work_queue(scene->net, &scene->work);
    }
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    loop_stop(((struct scene *)arg)->loop);
}

/* What a hook behind the net's has for it is not left until something else happens. */
static void test_what_is_queued_last_is_not_waited_with(void **state)
{
    struct scene *scene = *state;
    struct event *late = evtimer_new(loop_base(scene->loop), on_late, scene);
    uint64_t before = clock_monotonic_us();
    timer_after(late, 1000);
    net_work_init(&scene->work, step_once);
    loop_at_turn_end(scene->loop, queue_once, scene);
    loop_again(scene->loop);
    loop_run(scene->loop);
    assert_int_equal(scene->steps, 1);
    assert_int_equal(clock_monotonic_us(), before);
    event_free(late);
}

static void test_turns_are_measured(void **state)
{
    struct scene *scene = *state;
    say(enter(scene, 'a', 30000, false));
    run_until(scene, 1);
    assert_int_equal(long_turns(scene, 8), 1); /* over 25 ms */
}

/* All peers are gone at once, and each farewell takes a millisecond. */
static void test_those_who_die_at_once_go_in_turns(void **state)
{
    struct scene *scene = *state;
    scene->closed_us = 1000;
    for (unsigned i = 0; i < PLAYERS; i++) {
        struct player *player = enter(scene, 'a', 0, i % 2 == 0);
        shutdown(player->peer, SHUT_RDWR);
    }
    loop_run(scene->loop);
    assert_int_equal(scene->closed, PLAYERS);
    assert_true(scene->most_in_turn <= 2); /* the rest of a turn is for others */
    scene->closed_us = 0;
}

/* In a short drain many leave with each tick: a turn's worth at a time. */
static void test_a_drain_asks_and_ends_in_turns(void **state)
{
    struct scene *scene = *state;
    for (unsigned i = 0; i < PLAYERS; i++) {
        enter(scene, 'a', 0, false);
    }
    net_drain(scene->net, 100, on_drained, scene);
    loop_run(scene->loop);
    assert_int_equal(scene->asked, PLAYERS);
    assert_int_equal(scene->most_in_turn, 64);
    loop_run(scene->loop);
    assert_int_equal(scene->closed, PLAYERS); /* nobody left by himself */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_member_is_read_before_all_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_turn_ends_when_its_time_is_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_member_waits_for_one_of_the_others_only, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_who_takes_long_waits_behind, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_costs_much_waits_behind, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_long_message_is_read_in_parts_behind_others, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_members_are_read_as_they_came, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_answers_of_those_behind_are_written_one_by_one, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_bulk_is_written_behind_what_goes_to_few, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_what_goes_to_few_is_written_in_turns, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_little_is_read_until_what_was_left_is_written, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_those_who_take_more_at_once_get_it_in_turns, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_what_timers_send_can_wait, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_a_drain_sends_can_wait, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_turn_that_is_over_has_little_more, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_queued_last_is_not_waited_with, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_turns_are_measured, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_those_who_die_at_once_go_in_turns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_drain_asks_and_ends_in_turns, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
