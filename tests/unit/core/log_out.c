/* SPDX-License-Identifier: MIT */
/* stderr as a pipe that nobody empties. */
#include "node/core/log_out.h"

#include "node/core/log.h"
#include "node/core/loop.h"
#include "store/base/buf.h"
#include "tests/unit/cmocka_all.h"

#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PIPE_HOLDS = 4096, LONG_LINE = 300 };

struct trial {
    int real_stderr, ends[2]; /* where it is read, where it is written */
    bool cannot_open;         /* nothing */
    struct buf seen;
};

/* What is written comes out of ends[0] from now on. */
static void take_stderr(struct trial *trial)
{
    fflush(stderr);
    trial->real_stderr = dup(STDERR_FILENO);
    dup2(trial->ends[1], STDERR_FILENO);
    fcntl(trial->ends[0], F_SETFL, O_NONBLOCK);
    struct rlimit descriptors, none = {0};
    getrlimit(RLIMIT_NOFILE, &descriptors);
    none.rlim_max = descriptors.rlim_max;
    if (trial->cannot_open) {
        setrlimit(RLIMIT_NOFILE, &none);
    }
    log_setup(LOG_INFO, LOG_TEXT);
    setrlimit(RLIMIT_NOFILE, &descriptors);
}

static void give_stderr_back(struct trial *trial)
{
    dup2(trial->real_stderr, STDERR_FILENO);
    log_setup(LOG_INFO, LOG_TEXT);
    close(trial->real_stderr);
    close(trial->ends[0]);
    close(trial->ends[1]);
    buf_free(&trial->seen);
}

static void read_all(struct trial *trial)
{
    ssize_t n;
    do {
        n = read(trial->ends[0], buf_room(&trial->seen, PIPE_HOLDS), PIPE_HOLDS);
        buf_grew(&trial->seen, n > 0 ? (size_t)n : 0);
    } while (n > 0);
}

/* Every line up to the first that is dropped; returns how many there were. */
static unsigned log_until_full(void)
{
    char filler[LONG_LINE];
    memset(filler, 'x', sizeof(filler));
    uint64_t before = log_out_dropped();
    unsigned count = 0;
    while (log_out_dropped() == before) {
        log_info("line", LOG_NUMBER_FIELD("n", count),
                 LOG_SPAN_FIELD("filler", span_of(filler, sizeof(filler))));
        count++;
    }
    return count - 1;
}

/* Lines number 0 to `count` - 1, whole and in order, stand in `text`; returns what is behind them.
 */
static const char *skip_lines(const char *text, unsigned count)
{
    char wanted[64];
    for (unsigned i = 0; i < count; i++) {
        snprintf(wanted, sizeof(wanted), "info  line n=%u filler=x", i);
        assert_ptr_equal(strstr(text, wanted), text + strlen("2026-11-21T08:00:00.123Z "));
        text = strchr(text, '\n');
        assert_non_null(text);
        text++;
    }
    return text;
}

static void try_full(struct trial *trial)
{
    take_stderr(trial);
    unsigned count = log_until_full();
    for (int i = 0; i < 9; i++) {
        log_info("dropped");
    }
    for (int i = 0; i < 1000 && !log_out_is_clear(); i++) {
        read_all(trial);
        log_info("dropped or not");
    }
    read_all(trial);
    log_info("after");
    read_all(trial);
    const char *rest = skip_lines(buf_text(&trial->seen), count);
    assert_true(count * LONG_LINE > LOG_OUT_MOST);
    assert_non_null(strstr(rest, "log lines dropped, stderr took no more lines="));
    assert_non_null(strstr(rest, "after\n"));
    assert_null(strstr(rest, "dropped\n"));
}

static void test_a_full_pipe_blocks_nobody(void **state)
{
    (void)state;
    struct trial trial = {0};
    assert_int_equal(pipe(trial.ends), 0);
    try_full(&trial);
    /* Another process that shares the pipe finds it as it was. */
    assert_int_equal(fcntl(trial.ends[1], F_GETFL) & O_NONBLOCK, 0);
    give_stderr_back(&trial);
}

static void test_a_full_socket_blocks_nobody(void **state)
{
    (void)state;
    struct trial trial = {0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, trial.ends), 0);
    try_full(&trial);
    assert_int_equal(fcntl(trial.ends[1], F_GETFL) & O_NONBLOCK, 0);
    give_stderr_back(&trial);
}

/* As in a container whose pipe belongs to somebody else. */
static void test_a_full_pipe_that_cannot_be_opened_again_blocks_nobody(void **state)
{
    (void)state;
    struct trial trial = {.cannot_open = true};
    assert_int_equal(pipe(trial.ends), 0);
    try_full(&trial);
    give_stderr_back(&trial);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    read_all(arg);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct loop *loop = arg;
    if (log_out_is_clear()) {
        loop_stop(loop);
    }
}

static void test_the_loop_writes_what_was_kept(void **state)
{
    (void)state;
    struct trial trial = {0};
    struct loop *loop = loop_new();
    struct timeval every = {.tv_usec = 1000};
    assert_int_equal(pipe(trial.ends), 0);
    take_stderr(&trial);
    log_out_attach(loop_base(loop));
    unsigned count = log_until_full();
    struct event *reader =
        event_new(loop_base(loop), trial.ends[0], EV_READ | EV_PERSIST, on_readable, &trial);
    struct event *tick = event_new(loop_base(loop), -1, EV_PERSIST, on_tick, loop);
    event_add(reader, NULL);
    event_add(tick, &every);
    loop_run(loop);
    read_all(&trial);
    assert_string_equal(skip_lines(buf_text(&trial.seen), count), "");
    event_free(reader);
    event_free(tick);
    log_out_detach(0);
    loop_free(&loop);
    give_stderr_back(&trial);
}

static void test_what_is_kept_gets_some_time_at_the_end(void **state)
{
    (void)state;
    struct trial trial = {0};
    assert_int_equal(pipe(trial.ends), 0);
    take_stderr(&trial);
    log_until_full();
    log_out_detach(1);
    assert_true(log_out_is_clear()); /* given up: nobody reads */
    give_stderr_back(&trial);
}

/* An event on a file: epoll does not take it, of which libevent speaks. */
static void test_the_library_speaks_through_the_log(void **state)
{
    (void)state;
    struct trial trial = {0};
    struct loop *loop = loop_new();
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    struct event *event = event_new(loop_base(loop), file, EV_READ, on_readable, NULL);
    assert_int_equal(pipe(trial.ends), 0);
    take_stderr(&trial);
    assert_int_equal(event_add(event, NULL), -1);
    read_all(&trial);
    assert_non_null(strstr(buf_text(&trial.seen), " warn  libevent detail=\"Epoll ADD"));
    event_free(event);
    close(file);
    loop_free(&loop);
    give_stderr_back(&trial);
}

/* A worker that is forked while its parent cannot write: the gap is the parent's to tell. */
static void test_a_child_tells_of_no_gap_of_its_parent(void **state)
{
    (void)state;
    enum { NO_WORKER = -1 };
    struct trial trial = {0};
    assert_int_equal(pipe(trial.ends), 0);
    take_stderr(&trial);
    log_until_full();
    log_worker(3); /* in the child */
    read_all(&trial);
    trial.seen.len = 0;
    log_info("started");
    read_all(&trial);
    assert_non_null(strstr(buf_text(&trial.seen), "started worker=3\n"));
    assert_null(strstr(buf_text(&trial.seen), "dropped"));
    assert_int_equal(log_out_dropped(), 0);
    log_worker(NO_WORKER);
    give_stderr_back(&trial);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_full_pipe_blocks_nobody),
        cmocka_unit_test(test_a_full_socket_blocks_nobody),
        cmocka_unit_test(test_a_full_pipe_that_cannot_be_opened_again_blocks_nobody),
        cmocka_unit_test(test_the_loop_writes_what_was_kept),
        cmocka_unit_test(test_what_is_kept_gets_some_time_at_the_end),
        cmocka_unit_test(test_the_library_speaks_through_the_log),
        cmocka_unit_test(test_a_child_tells_of_no_gap_of_its_parent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
