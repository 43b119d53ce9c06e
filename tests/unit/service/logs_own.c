/* SPDX-License-Identifier: MIT */
/* The node's own lines when they cannot be appended: how many were lost is counted, and what was
 * logged in the turn of the failure is not appended again. The test stands in for the stream. */
#include "node/service/logs/own.h"

#include "node/core/log.h"
#include "store/base/buf.h"
#include "store/base/mem.h"
#include "store/stream.h"
#include "tests/unit/cmocka_all.h"

#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

struct bench {
    struct loop *loop;
    struct metrics metrics;
    struct logs_own *own;
    struct event *timer;
    stream_append_fn *fn; /* of the append under way; NULL: none is */
    void *arg;
    size_t count;      /* of its items */
    struct buf texts;  /* of its items */
    bool has_no_store; /* appends are not taken */
};

static struct bench *bench;

int stream_append(struct store *store, const struct stream_item *items, size_t count,
                  stream_append_fn *fn, void *arg)
{
    (void)store;
    assert_null(bench->fn);
    if (bench->has_no_store) {
        return -1;
    }
    bench->fn = fn;
    bench->arg = arg;
    bench->count = count;
    bench->texts.len = 0;
    for (size_t i = 0; i < count; i++) {
        buf_append(&bench->texts, items[i].payload);
    }
    return 0;
}

static void on_stop(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    loop_stop(bench->loop);
}

static void run_ms(unsigned ms)
{
    struct timeval wait = {.tv_usec = ms * 1000};
    struct event *stop = evtimer_new(loop_base(bench->loop), on_stop, NULL);
    event_add(stop, &wait);
    loop_run(bench->loop);
    event_free(stop);
}

/* A line, and later in the same turn the answer. */
static void on_refused(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    stream_append_fn *fn = bench->fn;
    bench->fn = NULL;
    log_info("about the failure");
    usleep(3000);
    fn(bench->arg, &(struct stream_result){.outcome = STREAM_REFUSED});
}

static int set_up(void **state)
{
    (void)state;
    bench = mem_zalloc(sizeof(*bench));
    bench->loop = loop_new();
    bench->own = logs_own_new(&(struct logs_own_options){
        .loop = bench->loop, .metrics = &bench->metrics, .node = "here", .lanes = 1});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    logs_own_free(&bench->own);
    loop_free(&bench->loop);
    buf_free(&bench->texts);
    free(bench);
    return 0;
}

static void each_line_that_is_lost_counts(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        log_info("one of five");
    }
    run_ms(150);
    assert_int_equal(bench->count, 5);
    log_info("of an earlier turn");
    run_ms(1);
    event_base_once(loop_base(bench->loop), -1, EV_TIMEOUT, on_refused, NULL, &(struct timeval){0});
    run_ms(150);
    assert_int_equal(bench->metrics.value[METRIC_LOGS_OWN_LOST],
                     6); /* five, and the one about it */
    assert_int_equal(bench->count, 1);
    assert_non_null(strstr(buf_text(&bench->texts), "of an earlier turn"));
    bench->fn(bench->arg, &(struct stream_result){.outcome = STREAM_STORED});
    bench->fn = NULL;
    run_ms(150);
    assert_null(bench->fn); /* nothing is left */
    assert_int_equal(bench->metrics.value[METRIC_LOGS_OWN_LOST], 6);
}

static void lines_wait_for_a_store(void **state)
{
    (void)state;
    bench->has_no_store = true;
    log_info("early");
    run_ms(150);
    bench->has_no_store = false;
    run_ms(150);
    assert_int_equal(bench->count, 1);
    bench->fn(bench->arg, &(struct stream_result){.outcome = STREAM_STORED});
    bench->fn = NULL;
    assert_int_equal(bench->metrics.value[METRIC_LOGS_OWN_LOST], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_line_that_is_lost_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lines_wait_for_a_store, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
