/* A Unix socket pair stands for TCP: there, too, SIOCOUTQ tells what the peer has not taken yet. */
#include "node/fanout/paced.h"

#include "node/core/wheel.h"
#include "node/fanout/room.h"
#include "store/base/clock.h"
#include "tests/unit/cmocka_all.h"

#include <sys/socket.h>
#include <unistd.h>

enum { GAP_MS = 20, LIMIT = 100 };

struct bench {
    struct loop *loop;
    struct wheel *wheel;
    struct metrics metrics;
    struct net *net;
    struct pacer *pacer;
    struct conn *conn;
    struct paced paced;
    struct event *stop;
    int peer;
    bool closed;
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

static const struct conn_handler handler = {.data = on_data, .closed = on_closed};

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
    bench->pacer = pacer_new(&(struct pacer_options){.loop = bench->loop,
                                                     .metrics = &bench->metrics,
                                                     .on = on,
                                                     .gap_ms = GAP_MS,
                                                     .limit = LIMIT});
    bench->peer = fds[1];
    bench->conn = conn_new(bench->net, fds[0], &(struct address){.port = 1}, &handler, bench);
    bench->stop = evtimer_new(loop_base(bench->loop), on_stop, bench);
    paced_init(&bench->paced, bench->pacer, bench->conn);
}

static void end(struct bench *bench)
{
    paced_deinit(&bench->paced);
    net_free(&bench->net);
    pacer_free(&bench->pacer);
    event_free(bench->stop);
    wheel_free(&bench->wheel);
    loop_free(&bench->loop);
    close(bench->peer);
}

static bool say(struct bench *bench, const char *text, enum paced_need need)
{
    struct chunk *chunk = chunk_copy(span_str(text));
    bool sent = paced_send(&bench->paced, chunk, need);
    chunk_unref(chunk);
    return sent;
}

/* What one read gives; "" for nothing. */
static const char *read_once(struct bench *bench)
{
    static char text[2000];
    ssize_t n = recv(bench->peer, text, sizeof text - 1, MSG_DONTWAIT);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void one_at_a_time(void **state)
{
    (void)state;
    struct bench bench = {0};
    start(&bench, true);
    uint64_t began = clock_monotonic_ms();
    assert_true(say(&bench, "one", PACED_MAY));
    assert_true(say(&bench, "two", PACED_MAY));
    assert_true(say(&bench, "three", PACED_MUST));
    run_ms(&bench, 3 * GAP_MS); /* nothing is taken yet, so nothing more comes */
    assert_string_equal(read_once(&bench), "one");
    assert_string_equal(read_once(&bench), "");
    run_ms(&bench, 2 * GAP_MS);
    assert_string_equal(read_once(&bench), "two");
    run_ms(&bench, 2 * GAP_MS);
    assert_string_equal(read_once(&bench), "three");
    assert_true(clock_monotonic_ms() - began >= 2 * GAP_MS);
    run_ms(&bench, 2 * GAP_MS);
    assert_true(say(&bench, "four", PACED_MAY)); /* nothing waits: at once */
    run_ms(&bench, 1);
    assert_string_equal(read_once(&bench), "four");
    end(&bench);
}

static void the_gap_is_kept(void **state)
{
    (void)state;
    struct bench bench = {0};
    start(&bench, true);
    assert_true(say(&bench, "one", PACED_MAY));
    run_ms(&bench, 1);
    assert_string_equal(read_once(&bench), "one");
    assert_true(say(&bench, "two", PACED_MAY)); /* all is taken, but only just now */
    run_ms(&bench, GAP_MS / 4);
    assert_string_equal(read_once(&bench), "");
    run_ms(&bench, 2 * GAP_MS);
    assert_string_equal(read_once(&bench), "two");
    end(&bench);
}

static void patience_ends(void **state)
{
    (void)state;
    struct bench bench = {0};
    start(&bench, true);
    assert_true(say(&bench, "one", PACED_MAY));
    assert_true(say(&bench, "two", PACED_MAY));
    run_ms(&bench, 500);
    assert_int_equal(bench.paced.queue.count, 1);
    run_ms(&bench, 700);
    assert_int_equal(bench.paced.queue.count, 0);
    assert_string_equal(read_once(&bench), "onetwo");
    end(&bench);
}

static const char sixty[] = "------------------------------------------------------------";

static void what_may_fall_falls_over_the_bound(void **state)
{
    (void)state;
    struct bench bench = {0};
    start(&bench, true);
    assert_true(say(&bench, "first", PACED_MAY));
    assert_true(say(&bench, sixty, PACED_MAY));
    assert_false(say(&bench, sixty, PACED_MAY));
    assert_int_equal(bench.metrics.value[METRIC_PACED_DROPPED], 1);
    assert_true(say(&bench, sixty, PACED_MUST));
    assert_true(say(&bench, sixty, PACED_MUST));
    assert_int_equal(bench.metrics.value[METRIC_PACED_CUT], 0);
    assert_false(say(&bench, sixty, PACED_MUST));
    assert_int_equal(bench.metrics.value[METRIC_PACED_CUT], 1);
    run_ms(&bench, 1);
    assert_true(bench.closed);
    end(&bench);
}

static void who_takes_nothing_is_cut(void **state)
{
    (void)state;
    struct bench bench = {0};
    start(&bench, true);
    assert_true(say(&bench, "first", PACED_MAY));
    assert_true(say(&bench, sixty, PACED_MAY));
    run_ms(&bench, 3500); /* `sixty` went out unconfirmed, and so does the next one */
    assert_true(say(&bench, sixty, PACED_MAY));
    assert_true(say(&bench, sixty, PACED_MAY));
    assert_false(say(&bench, sixty, PACED_MAY));
    assert_int_equal(bench.metrics.value[METRIC_PACED_CUT], 1);
    assert_int_equal(bench.metrics.value[METRIC_PACED_DROPPED], 0);
    run_ms(&bench, 1);
    assert_true(bench.closed);
    end(&bench);
}

static void without_pacing_all_goes_at_once(void **state)
{
    (void)state;
    struct bench bench = {0};
    struct room room;
    struct room_member member;
    start(&bench, false);
    room_init(&room, &bench.metrics);
    room_add_raw(&room, &member, &bench.paced);
    assert_int_equal(room_send_raw(&room, SPAN("one"), PACED_MAY, NULL), 1);
    assert_int_equal(room_send_raw(&room, SPAN("none"), PACED_MAY, &member), 0);
    assert_int_equal(room_send_raw(&room, SPAN("two"), PACED_MUST, NULL), 1);
    run_ms(&bench, 1);
    assert_string_equal(read_once(&bench), "onetwo");
    assert_int_equal(bench.metrics.value[METRIC_DELIVERIES], 2);
    char big[1001];
    memset(big, 'x', sizeof big);
    assert_int_equal(room_send_raw(&room, span_of(big, sizeof big), PACED_MAY, NULL), 1);
    assert_int_equal(room_send_raw(&room, span_of(big, sizeof big), PACED_MAY, NULL), 0);
    assert_int_equal(bench.metrics.value[METRIC_PACED_CUT], 1);
    run_ms(&bench, 1);
    assert_true(bench.closed);
    room_remove(&room, &member);
    end(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_at_a_time),
        cmocka_unit_test(the_gap_is_kept),
        cmocka_unit_test(patience_ends),
        cmocka_unit_test(what_may_fall_falls_over_the_bound),
        cmocka_unit_test(who_takes_nothing_is_cut),
        cmocka_unit_test(without_pacing_all_goes_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
