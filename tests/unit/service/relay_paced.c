/* SPDX-License-Identifier: MIT */
/* A Unix socket pair stands for TCP: there, too, SIOCOUTQ tells what the peer has not taken yet. */
#include "node/service/relay/paced.h"

#include "node/core/wheel.h"
#include "node/net/conn_path.h"
#include "node/net/net.h"
#include "node/service/relay/room.h"
#include "store/base/clock.h"
#include "tests/unit/cmocka_all.h"

#include <sys/socket.h>
#include <unistd.h>

enum { GAP_MS = 20, CALM_MS = 100, LIMIT = 300 };

struct bench {
    struct loop *loop;
    struct wheel *wheel;
    struct metrics metrics;
    struct net *net;
    struct relay_pacer *pacer;
    struct conn *conn;
    struct relay_paced paced;
    struct event *stop;
    int peer, ours; /* the other end; that of the node once more */
    bool closed;
    unsigned poked;
};

static size_t on_data(void *arg, struct span bytes)
{
    (void)arg;
    return bytes.len;
}

static void on_closed(void *arg, enum conn_end how)
{
    struct bench *bench = arg;
    (void)how;
    bench->closed = true;
}

static void on_poked(void *arg)
{
    struct bench *bench = arg;
    bench->poked++;
}

static void on_drained(void *arg)
{
    struct bench *bench = arg;
    relay_paced_wrote(&bench->paced);
}

static const struct conn_handler handler = {
    .data = on_data, .drained = on_drained, .poked = on_poked, .closed = on_closed};

static void on_stop(evutil_socket_t fd, short what, void *arg)
{
    struct bench *bench = arg;
    (void)fd, (void)what;
    loop_stop(bench->loop);
}

static void run_ms(struct bench *bench, unsigned ms)
{
    struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    evtimer_add(bench->stop, &wait);
    loop_run(bench->loop);
}

static void start(struct bench *bench, bool on)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    bench->loop = loop_new();
    bench->wheel = wheel_new(bench->loop);
    bench->net = net_new(bench->loop, bench->wheel, &bench->metrics,
                         &(struct net_limits){.queue = 1000, .connections = 1});
    bench->pacer = relay_pacer_new(&(struct relay_pacer_options){.loop = bench->loop,
                                                                 .metrics = &bench->metrics,
                                                                 .on = on,
                                                                 .gap_ms = GAP_MS,
                                                                 .limit = LIMIT});
    bench->peer = fds[1];
    bench->ours = dup(fds[0]);
    bench->conn = conn_new(bench->net, fds[0], &(struct address){.port = 1}, &handler, bench);
    bench->stop = evtimer_new(loop_base(bench->loop), on_stop, bench);
    relay_paced_init(&bench->paced, bench->pacer, bench->conn);
}

static void end(struct bench *bench)
{
    relay_paced_deinit(&bench->paced);
    net_free(&bench->net);
    relay_pacer_free(&bench->pacer);
    event_free(bench->stop);
    wheel_free(&bench->wheel);
    loop_free(&bench->loop);
    close(bench->peer);
    close(bench->ours);
}

static bool say(struct bench *bench, uint64_t topic, const char *text, enum relay_paced_kind kind)
{
    struct chunk *chunk = chunk_copy(span_str(text));
    bool sent = relay_paced_send(&bench->paced, chunk, (struct relay_paced_mark){topic, kind});
    chunk_unref(chunk);
    return sent;
}

/* What one read gives; "" for nothing. */
static const char *read_once(struct bench *bench)
{
    static char text[2000];
    ssize_t n = recv(bench->peer, text, sizeof(text) - 1, MSG_DONTWAIT);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

/* Everything that comes, one message a read. */
static void expect_in_turn(struct bench *bench, const char *expected)
{
    struct buf seen = {0};
    for (int i = 0; i < 10 * CALM_MS && strcmp(buf_text(&seen), expected) != 0; i++) {
        run_ms(bench, 1);
        const char *text = read_once(bench);
        if (text[0] != '\0') {
            buf_printf(&seen, "%s%s", seen.len > 0 ? " " : "", text);
        }
    }
    assert_string_equal(buf_text(&seen), expected);
    buf_free(&seen);
}

static void one_at_a_time(void **state)
{
    (void)state;
    struct bench bench = {0};
    start(&bench, true);
    uint64_t began = clock_monotonic_ms();
    assert_true(say(&bench, 1, "one", PACED_TALK));
    assert_true(say(&bench, 1, "two", PACED_TALK));
    assert_true(say(&bench, 1, "three", PACED_TALK));
    run_ms(&bench, 5 * CALM_MS); /* nothing is taken yet, so nothing more comes */
    assert_string_equal(read_once(&bench), "one");
    assert_string_equal(read_once(&bench), "");
    run_ms(&bench, 2 * CALM_MS);
    assert_string_equal(read_once(&bench), "two");
    run_ms(&bench, 2 * CALM_MS);
    assert_string_equal(read_once(&bench), "three");
    assert_true(clock_monotonic_ms() - began >= 2 * GAP_MS);
    run_ms(&bench, 2 * CALM_MS);
    assert_true(say(&bench, 1, "four", PACED_TALK)); /* nothing waits: at once */
    run_ms(&bench, 1);
    assert_string_equal(read_once(&bench), "four");
    end(&bench);
}

/* What else there is to do in the turn in which it was said is no part of the gap to the next one. */
static void a_message_counts_from_when_it_is_written(void **state)
{
    (void)state;
    struct bench bench = {0};
    start(&bench, true);
    assert_true(say(&bench, 1, "one", PACED_TALK));
    usleep(GAP_MS * 1000);
    uint64_t before = clock_monotonic_us();
    run_ms(&bench, 1);
    assert_true(bench.paced.sent_us >= before);
    assert_string_equal(read_once(&bench), "one");
    end(&bench);
}

/* However late it is confirmed, the gap begins then. */
static void the_gap_begins_with_the_confirmation(void **state)
{
    (void)state;
    struct bench bench = {0};
    start(&bench, true);
    assert_true(say(&bench, 1, "one", PACED_TALK));
    assert_true(say(&bench, 1, "two", PACED_TALK));
    run_ms(&bench, 4 * CALM_MS);
    assert_string_equal(read_once(&bench), "one");
    uint64_t taken = clock_monotonic_ms();
    while (read_once(&bench)[0] == '\0') {
        run_ms(&bench, 1);
    }
    assert_true(clock_monotonic_ms() - taken >= CALM_MS);
    end(&bench);
}

/* How long `count` messages of one topic take to a peer that reads at once. */
static uint64_t time_for(unsigned count)
{
    struct bench bench = {0};
    start(&bench, true);
    uint64_t began = clock_monotonic_ms();
    for (unsigned i = 0; i < count; i++) {
        assert_true(say(&bench, 1, "x", PACED_END));
    }
    for (unsigned heard = 0; heard < count; heard += strlen(read_once(&bench)) == 1) {
        run_ms(&bench, 1);
    }
    end(&bench);
    return clock_monotonic_ms() - began;
}

static void the_gap_shrinks_as_more_waits(void **state)
{
    (void)state;
    assert_true(time_for(3) >= 2 * CALM_MS);
    uint64_t many = time_for(101);
    assert_true(many >= 100 * GAP_MS);
    assert_true(many < 100 * CALM_MS);
}

/* Says two things and hears the second one so many ms after it took the first. */
static uint64_t gap_after(struct bench *bench, unsigned late_ms, bool speaks)
{
    assert_true(say(bench, 1, "one", PACED_TALK));
    assert_true(say(bench, 1, "two", PACED_TALK));
    run_ms(bench, 1 + late_ms);
    assert_string_equal(read_once(bench), "one");
    uint64_t taken = clock_monotonic_ms();
    for (bool heard = false; read_once(bench)[0] == '\0';) {
        run_ms(bench, 1);
        if (speaks && !heard && bench->paced.clear) {
            relay_paced_heard(&bench->paced);
            heard = true;
        }
    }
    uint64_t gap = clock_monotonic_ms() - taken;
    run_ms(bench, 2 * CALM_MS);
    return gap;
}

static void the_gap_follows_the_peers_rhythm(void **state)
{
    (void)state;
    struct bench bench = {0};
    start(&bench, true);
    for (int i = 0; i < 2; i++) { /* two messages each: it is known then */
        assert_true(gap_after(&bench, 0, false) >= CALM_MS);
    }
    uint64_t quick = gap_after(&bench, 0, false);
    assert_in_range(quick, GAP_MS + 5, CALM_MS / 2);
    assert_in_range(gap_after(&bench, 60, false), GAP_MS, quick); /* it has had its time to read */
    assert_in_range(gap_after(&bench, 0, false), quick + 5, CALM_MS); /* and may need it again */
    for (int i = 0; i < 5; i++) {
        quick = gap_after(&bench, 0, false); /* it forgets */
    }
    assert_in_range(quick, GAP_MS + 5, CALM_MS / 2);
    assert_in_range(gap_after(&bench, 0, true), GAP_MS, quick - 5);
    assert_in_range(gap_after(&bench, 40, false), GAP_MS, quick); /* that was its kernel's timer */
    assert_in_range(gap_after(&bench, 0, false), quick - 3, quick + 3);
    end(&bench);
}

/* Four servers say ten things a second in all, at random times: 99 of 100 are on the wire within 150
 * ms, toward a peer that reads at once and is now and then late. */
static void steady_chat_is_not_late(void **state)
{
    (void)state;
    enum { SECONDS = 200, LATE_MS = 150, MESSAGES_MOST = SECONDS * 20 };
    struct bench bench = {0};
    uint64_t said_ms[MESSAGES_MOST];
    unsigned said = 0, heard = 0, late = 0, random = 12345;
    start(&bench, true);
    uint64_t end_ms = clock_monotonic_ms() + SECONDS * 1000;
    while (clock_monotonic_ms() < end_ms || relay_paced_waiting(&bench.paced) > 0) {
        random = random * 1664525U + 1013904223U;
        if (random >> 16 < 65536 / 73 && clock_monotonic_ms() < end_ms) { /* a turn is 1.4 ms */
            said_ms[said++] = clock_monotonic_ms();
            assert_true(say(&bench, 1 + said % 4, "x", PACED_TALK));
        }
        run_ms(&bench, heard % 100 == 99 ? 40 : 1);
        size_t len = strlen(read_once(&bench));
        assert_true(len <= 1); /* one a read */
        if (len == 1) {
            late += clock_monotonic_ms() - said_ms[heard++] > LATE_MS ? 1 : 0;
        }
    }
    assert_in_range(said, SECONDS * 8, SECONDS * 12);
    assert_int_equal(bench.metrics.value[METRIC_PACED_DROPPED], 0);
    assert_true(late * 100 < said);
    end(&bench);
}

static void topics_have_their_turn(void **state)
{
    (void)state;
    struct bench bench = {0};
    start(&bench, true);
    assert_true(say(&bench, 9, "first", PACED_TALK));
    assert_true(say(&bench, 1, "a", PACED_END));
    assert_true(say(&bench, 1, "b", PACED_END));
    assert_true(say(&bench, 1, "c", PACED_END));
    assert_true(say(&bench, 2, "X", PACED_END));
    expect_in_turn(&bench, "first a X b c");
    end(&bench);
}

static void an_untold_topic_is_not_ended(void **state)
{
    (void)state;
    struct bench bench = {0};
    start(&bench, true);
    assert_true(say(&bench, 9, "first", PACED_TALK));
    assert_true(say(&bench, 1, "+1", PACED_BEGIN)); /* never told */
    assert_true(say(&bench, 1, "hi", PACED_TALK));
    assert_true(say(&bench, 1, "-1", PACED_END));
    assert_int_equal(relay_paced_waiting(&bench.paced), 0);
    assert_true(
        say(&bench, 2, "-2", PACED_END)); /* told before: its end is, once, and the new one */
    for (int i = 0; i < 1000; i++) {
        assert_true(say(&bench, 2, "+2", PACED_BEGIN));
        assert_true(say(&bench, 2, "x", PACED_TALK));
        assert_true(say(&bench, 2, "-2", PACED_END));
        assert_int_equal(relay_paced_waiting(&bench.paced), 1);
        assert_true(say(&bench, 2, "+2", PACED_BEGIN));
        assert_true(say(&bench, 2, "-2", PACED_END));
    }
    assert_true(say(&bench, 2, "+2", PACED_BEGIN));
    expect_in_turn(&bench, "first -2 +2");
    assert_int_equal(bench.metrics.value[METRIC_PACED_CUT], 0);
    end(&bench);
}

static bool say_begin(struct bench *bench, struct relay_notice *begin)
{
    return relay_paced_send_notice(&bench->paced, begin);
}

/* A thousand beginnings wait as pointers to what all peers are told, and hold up no talk. */
static void beginnings_are_kept_once(void **state)
{
    (void)state;
    enum { MANY = 1000 };
    static struct relay_notice *begins[MANY];
    struct bench one = {0}, two = {0};
    start(&one, true);
    start(&two, true);
    assert_true(say(&one, 9, "first", PACED_TALK));
    assert_true(say(&two, 9, "first", PACED_TALK));
    for (uint64_t i = 0; i < MANY; i++) {
        struct chunk *chunk = chunk_copy(SPAN("+"));
        begins[i] = relay_notice_new(chunk, (struct relay_paced_mark){100 + i, PACED_BEGIN});
        assert_true(say_begin(&one, begins[i]) && say_begin(&two, begins[i]));
        assert_int_equal(chunk->refs, 2); /* ours and that of what is kept once */
        chunk_unref(chunk);
    }
    assert_int_equal(relay_paced_waiting(&one.paced), MANY);
    assert_int_equal(one.paced.queue.topics.count, 0);
    assert_true(say(&one, 101, "-", PACED_END)); /* its beginning was not told yet */
    assert_true(say(&one, 100, "hi", PACED_TALK));
    assert_int_equal(relay_paced_waiting(&one.paced), MANY);
    assert_true(say(&one, 7, "talk", PACED_TALK));
    assert_int_equal(one.paced.queue.topics.count, 2);
    run_ms(&one, 1);
    assert_string_equal(read_once(&one), "first");
    const char *const told[] = {"+", "+", "+", "talk", "+", "hi"};
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
        run_ms(&one, 2 * CALM_MS);
        assert_string_equal(read_once(&one), told[i]);
    }
    for (int i = 0; i < MANY; i++) {
        relay_notice_unref(begins[i]);
    }
    end(&one);
    end(&two);
}

static void notify(struct bench *bench, uint64_t topic, const char *text,
                   enum relay_paced_kind kind)
{
    struct chunk *chunk = chunk_copy(span_str(text));
    struct relay_notice *notice = relay_notice_new(chunk, (struct relay_paced_mark){topic, kind});
    chunk_unref(chunk);
    assert_true(relay_paced_send_notice(&bench->paced, notice));
    relay_notice_unref(notice);
}

/* A node with a thousand servers died: what waits of that for each peer are pointers, too. */
static void ends_are_kept_once(void **state)
{
    enum { MANY = 1000 };
    (void)state;
    struct bench bench = {0};
    start(&bench, true);
    assert_true(say(&bench, 9, "first", PACED_TALK));
    for (uint64_t i = 0; i < MANY; i++) {
        notify(&bench, 100 + i, "-", PACED_END);
    }
    assert_int_equal(relay_paced_waiting(&bench.paced), MANY);
    assert_int_equal(bench.paced.queue.topics.count, 0);
    notify(&bench, 7, "+7", PACED_BEGIN); /* never told, nor is its end */
    notify(&bench, 7, "-7", PACED_END);
    assert_int_equal(relay_paced_waiting(&bench.paced), MANY);
    for (int i = 0; i < 3; i++) { /* its end is told once, whatever comes and goes after it */
        notify(&bench, 100, "+", PACED_BEGIN);
        assert_true(say(&bench, 100, "x", PACED_TALK));
        notify(&bench, 100, "-", PACED_END);
        assert_int_equal(relay_paced_waiting(&bench.paced), MANY);
    }
    end(&bench);
    bench = (struct bench){0};
    start(&bench, true);
    assert_true(say(&bench, 9, "first", PACED_TALK));
    notify(&bench, 1, "-1", PACED_END);
    notify(&bench, 1, "+1", PACED_BEGIN);
    notify(&bench, 2, "-2", PACED_END);
    assert_true(say(&bench, 1, "hi", PACED_TALK));
    expect_in_turn(&bench, "first -2 -1 +1 hi"); /* in order within a topic */
    end(&bench);
}

static const char sixty[] = "------------------------------------------------------------";

static void the_oldest_talk_of_the_fattest_falls(void **state)
{
    (void)state;
    struct bench bench = {0};
    start(&bench, true);
    assert_true(say(&bench, 9, "first", PACED_TALK));
    assert_true(say(&bench, 2, "quiet", PACED_TALK));
    assert_true(say(&bench, 1, "+1", PACED_BEGIN));
    for (int i = 0; i < 100; i++) {
        assert_true(say(&bench, 1, sixty, PACED_TALK));
        assert_true(bench.paced.queue.bytes <= LIMIT);
    }
    assert_true(say(&bench, 1, "last", PACED_TALK));
    assert_true(bench.metrics.value[METRIC_PACED_DROPPED] > 90);
    for (int i = 0; i < 200; i++) { /* what must be told is, however much it is */
        assert_true(say(&bench, 100 + (uint64_t)i, sixty, PACED_END));
    }
    assert_int_equal(bench.metrics.value[METRIC_PACED_CUT], 0);
    run_ms(&bench, 1);
    assert_string_equal(read_once(&bench), "first");
    run_ms(&bench, 2 * CALM_MS);
    assert_string_equal(read_once(&bench), "quiet");
    run_ms(&bench, 2 * CALM_MS);
    assert_string_equal(read_once(&bench), "+1");
    end(&bench);
}

static void talk_gets_too_old(void **state)
{
    (void)state;
    struct bench bench = {0};
    start(&bench, true);
    assert_true(say(&bench, 9, "first", PACED_TALK));
    assert_true(say(&bench, 1, "old", PACED_TALK));
    assert_true(say(&bench, 2, "-2", PACED_END));
    run_ms(&bench, PACED_AGE_MS + 100);
    assert_true(say(&bench, 1, "new", PACED_TALK));
    expect_in_turn(&bench, "first new -2");
    assert_int_equal(bench.metrics.value[METRIC_PACED_DROPPED], 1);
    end(&bench);
}

/* Never a second message; in the end the peer is given up. */
static void who_confirms_nothing_is_cut(void **state)
{
    (void)state;
    struct bench bench = {0};
    start(&bench, true);
    assert_true(say(&bench, 1, "one", PACED_TALK));
    assert_true(say(&bench, 1, "two", PACED_END));
    run_ms(&bench, PACED_PATIENCE_MS * 8 / 10);
    assert_int_equal(relay_paced_waiting(&bench.paced), 1);
    assert_int_equal(bench.metrics.value[METRIC_PACED_CUT], 0);
    run_ms(&bench, PACED_PATIENCE_MS * 4 / 10);
    assert_int_equal(bench.metrics.value[METRIC_PACED_CUT], 1);
    assert_true(relay_paced_is_cut(&bench.paced));
    assert_int_equal(bench.poked, 1);
    assert_string_equal(read_once(&bench), "one");
    assert_string_equal(read_once(&bench), "");
    end(&bench);
}

static void the_owner_is_told(void **state)
{
    (void)state;
    struct bench bench = {0};
    start(&bench, true);
    assert_true(say(&bench, 1, "one", PACED_TALK));
    assert_true(say(&bench, 1, "two", PACED_TALK));
    run_ms(&bench, 1);
    assert_string_equal(read_once(&bench), "one");
    assert_int_equal(bench.poked, 0);
    uint64_t began = clock_monotonic_ms();
    relay_paced_hurry(&bench.paced);
    while (bench.poked == 0) {
        run_ms(&bench, 1);
    }
    assert_true(clock_monotonic_ms() - began < CALM_MS);
    run_ms(&bench, 1);
    assert_string_equal(read_once(&bench), "two");
    end(&bench);

    bench = (struct bench){0};
    start(&bench, false);
    char big[1001];
    memset(big, 'x', sizeof(big) - 1);
    big[1000] = '\0';
    assert_true(say(&bench, 1, big, PACED_TALK));
    assert_false(say(&bench, 1, big, PACED_TALK));
    assert_false(say(&bench, 1, "more", PACED_TALK));
    assert_true(relay_paced_is_cut(&bench.paced));
    run_ms(&bench, 1);
    assert_int_equal(bench.poked, 1);
    assert_false(bench.closed); /* its owner's to do */
    assert_int_equal(bench.metrics.value[METRIC_PACED_CUT], 1);
    end(&bench);
}

static void without_pacing_all_goes_at_once(void **state)
{
    (void)state;
    struct bench bench = {0};
    struct relay_room room;
    struct relay_receiver member;
    const struct relay_paced_mark mark = {1, PACED_TALK};
    start(&bench, false);
    relay_room_init(&room, bench.net, &bench.metrics);
    relay_room_add(&room, &member, &bench.paced);
    relay_room_send(&room, SPAN("one"), mark, NULL);
    relay_room_send(&room, SPAN("none"), mark, &member);
    relay_room_send(&room, SPAN("two"), mark, NULL);
    run_ms(&bench, 1);
    assert_string_equal(read_once(&bench), "onetwo");
    assert_int_equal(bench.metrics.value[METRIC_DELIVERIES], 2);
    char big[1001];
    memset(big, 'x', sizeof(big));
    relay_room_send(&room, span_of(big, sizeof(big)), mark, NULL);
    assert_int_equal(bench.metrics.value[METRIC_DELIVERIES], 3);
    relay_room_send(&room, span_of(big, sizeof(big)), mark, NULL);
    assert_int_equal(bench.metrics.value[METRIC_DELIVERIES], 3);
    assert_int_equal(bench.metrics.value[METRIC_PACED_CUT], 1);
    relay_room_remove(&room, &member);
    relay_room_deinit(&room);
    end(&bench);
}

struct sends {
    struct net *net;
    uint64_t before, most;
};

static void on_turn_end(void *arg)
{
    struct sends *sends = arg;
    uint64_t now = net_sends(sends->net);
    sends->most = now - sends->before > sends->most ? now - sends->before : sends->most;
    sends->before = now;
}

/* Peers that were told the same at once are due at once; each turn of the loop sees to some of them. */
static void many_are_due_in_turns(void **state)
{
    enum { MANY = RELAY_PACED_LOOKS_MOST + 100, MESSAGES = 4 };
    static struct peer {
        struct relay_paced paced;
        int fd;
    } peers[MANY];
    (void)state;
    struct bench bench = {0};
    start(&bench, true);
    struct sends sends = {.net = bench.net};
    for (int i = 0; i < MANY; i++) {
        int fds[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
        peers[i] = (struct peer){.fd = fds[1]};
        relay_paced_init(
            &peers[i].paced, bench.pacer,
            conn_new(bench.net, fds[0], &(struct address){.port = 1}, &handler, &bench));
    }
    struct chunk *chunk = chunk_copy(SPAN("x"));
    for (int i = 0; i < MANY * MESSAGES; i++) {
        assert_true(relay_paced_send(&peers[i % MANY].paced, chunk,
                                     (struct relay_paced_mark){1, PACED_END}));
    }
    chunk_unref(chunk);
    on_turn_end(&sends);
    sends.most = 0;
    loop_at_turn_end(bench.loop, on_turn_end, &sends);
    for (int left = MANY * MESSAGES, tries = 0; left > 0; tries++) {
        assert_true(tries < 10 * CALM_MS);
        run_ms(&bench, 5);
        for (int i = 0; i < MANY; i++) {
            char text[10];
            ssize_t n = recv(peers[i].fd, text, sizeof(text), MSG_DONTWAIT);
            assert_true(n <= 1); /* one a read */
            left -= n > 0;
        }
    }
    assert_in_range(sends.most, RELAY_PACED_LOOKS_MOST / 2, RELAY_PACED_LOOKS_MOST);
    for (int i = 0; i < MANY; i++) {
        relay_paced_deinit(&peers[i].paced);
        close(peers[i].fd);
    }
    end(&bench);
}

static bool far;

bool __wrap_conn_path(const struct conn *conn, struct conn_path *path);

/* A long and even way, for what goes through a Unix socket. */
bool __wrap_conn_path(const struct conn *conn, struct conn_path *path)
{
    (void)conn;
    *path = (struct conn_path){
        .round_trip_us = 500 * 1000, .in_flight = 1, .window = 10, .rate = UINT64_MAX};
    return far;
}

/* Says two messages, and waits for long enough that the second one follows the first before that is confirmed. */
static void say_two(struct bench *bench)
{
    far = true;
    assert_true(say(bench, 1, "one", PACED_TALK));
    assert_true(say(bench, 2, "two", PACED_TALK));
    run_ms(bench, 2000);
    far = false;
}

static void on_a_long_way_one_follows_another(void **state)
{
    (void)state;
    struct bench bench = {0};
    start(&bench, true);
    say_two(&bench);
    assert_int_equal(relay_paced_waiting(&bench.paced), 0);
    assert_string_equal(read_once(&bench), "onetwo"); /* on a real way these are two packets */
    end(&bench);
}

/* The kernel has taken nothing of the first: both would be one packet. */
static void nothing_follows_what_has_not_left(void **state)
{
    (void)state;
    struct bench bench = {0};
    char full[4096];
    memset(full, '-', sizeof(full));
    start(&bench, true);
    while (send(bench.ours, full, sizeof(full), MSG_DONTWAIT) > 0) {
    }
    say_two(&bench);
    assert_int_equal(conn_queued(bench.conn), 3);
    assert_int_equal(relay_paced_waiting(&bench.paced), 1);
    while (strcmp(read_once(&bench), "") != 0) {
    }
    run_ms(&bench, 1);
    assert_string_equal(read_once(&bench), "one");
    expect_in_turn(&bench, "two");
    end(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_at_a_time),
        cmocka_unit_test(a_message_counts_from_when_it_is_written),
        cmocka_unit_test(the_gap_begins_with_the_confirmation),
        cmocka_unit_test(the_gap_shrinks_as_more_waits),
        cmocka_unit_test(the_gap_follows_the_peers_rhythm),
        cmocka_unit_test(steady_chat_is_not_late),
        cmocka_unit_test(topics_have_their_turn),
        cmocka_unit_test(an_untold_topic_is_not_ended),
        cmocka_unit_test(beginnings_are_kept_once),
        cmocka_unit_test(ends_are_kept_once),
        cmocka_unit_test(the_oldest_talk_of_the_fattest_falls),
        cmocka_unit_test(talk_gets_too_old),
        cmocka_unit_test(who_confirms_nothing_is_cut),
        cmocka_unit_test(on_a_long_way_one_follows_another),
        cmocka_unit_test(nothing_follows_what_has_not_left),
        cmocka_unit_test(the_owner_is_told),
        cmocka_unit_test(without_pacing_all_goes_at_once),
        cmocka_unit_test(many_are_due_in_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
