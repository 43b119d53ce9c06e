/* SPDX-License-Identifier: MIT */
#include "node/core/pool.h"

#include "store/base/mem.h"
#include "tests/unit/cmocka_all.h"

#include <pthread.h>
#include <unistd.h>

enum { JOBS = 200 };

struct desk {
    struct loop *loop;
    struct job_pool *pool;
    unsigned done, unworked, wanted;
};

struct sum {
    struct pool_job job;
    struct desk *desk;
    unsigned number, square;
    pthread_t by;
};

static void work(struct pool_job *job)
{
    struct sum *sum = CONTAINER_OF(job, struct sum, job);
    sum->square = sum->number * sum->number;
    sum->by = pthread_self();
}

static void done(struct pool_job *job, bool worked)
{
    struct sum *sum = CONTAINER_OF(job, struct sum, job);
    sum->desk->unworked += worked ? 0 : 1;
    if (++sum->desk->done == sum->desk->wanted) {
        loop_stop(sum->desk->loop);
    }
}

static int give(struct desk *desk, struct sum *sum, unsigned number)
{
    *sum = (struct sum){.desk = desk, .number = number};
    sum->job = (struct pool_job){.work = work, .done = done};
    return pool_do(desk->pool, &sum->job);
}

static void test_all_is_done_off_the_loop(void **state)
{
    (void)state;
    struct desk desk = {.loop = loop_new(), .wanted = JOBS};
    static struct sum sums[JOBS];
    desk.pool = pool_new(desk.loop, 2, JOBS);
    for (unsigned i = 0; i < JOBS; i++) {
        assert_int_equal(give(&desk, &sums[i], i), 0);
    }
    assert_int_equal(desk.done, 0); /* never from inside pool_do */
    loop_run(desk.loop);
    for (unsigned i = 0; i < JOBS; i++) {
        assert_int_equal(sums[i].square, i * i);
        assert_false(pthread_equal(sums[i].by, pthread_self()));
    }
    assert_int_equal(desk.unworked, 0);
    pool_free(&desk.pool);
    loop_free(&desk.loop);
}

static void wait_for_byte(struct pool_job *job)
{
    struct sum *sum = CONTAINER_OF(job, struct sum, job);
    char byte;
    sum->square = read((int)sum->number, &byte, 1) == 1;
}

/* The line is bounded; what nobody worked on when the pool ends is told so. */
static void test_the_line_is_bounded_and_each_is_told(void **state)
{
    (void)state;
    struct desk desk = {.loop = loop_new()};
    struct sum busy = {.desk = &desk}, waits, refused;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    busy.number = (unsigned)ends[0];
    busy.job = (struct pool_job){.work = wait_for_byte, .done = done};
    desk.pool = pool_new(desk.loop, 1, 2);
    assert_int_equal(pool_do(desk.pool, &busy.job), 0);
    assert_int_equal(give(&desk, &waits, 2), 0);
    assert_int_equal(give(&desk, &refused, 3), -1);
    assert_int_equal(write(ends[1], "x", 1), 1);
    pool_free(&desk.pool);
    assert_int_equal(desk.done, 2);
    close(ends[0]);
    close(ends[1]);
    loop_free(&desk.loop);
}

/* More than a pipe holds: those are refused, and of the others none is lost. */
static void test_what_has_no_room_is_refused(void **state)
{
    (void)state;
    enum { MANY = 100 * 1000 };
    struct desk desk = {.loop = loop_new()};
    struct sum busy = {.desk = &desk}, *sums = mem_zalloc(MANY * sizeof(*sums));
    unsigned taken = 0;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    busy.number = (unsigned)ends[0];
    busy.job = (struct pool_job){.work = wait_for_byte, .done = done};
    desk.pool = pool_new(desk.loop, 1, MANY);
    assert_int_equal(pool_do(desk.pool, &busy.job), 0);
    while (taken < MANY && give(&desk, &sums[taken], taken) == 0) {
        taken++;
    }
    assert_in_range(taken, 100, MANY - 1);
    desk.wanted = taken + 1;
    assert_int_equal(write(ends[1], "x", 1), 1);
    loop_run(desk.loop);
    for (unsigned i = 0; i < taken; i++) {
        assert_int_equal(sums[i].square, i * i);
    }
    assert_int_equal(desk.done, taken + 1);
    pool_free(&desk.pool);
    assert_int_equal(desk.done, taken + 1);
    free(sums);
    close(ends[0]);
    close(ends[1]);
    loop_free(&desk.loop);
}

static void give_way_and_count(struct pool_job *job)
{
    struct sum *sum = CONTAINER_OF(job, struct sum, job);
    for (unsigned i = 0; i < sum->number; i++) {
        pool_give_way();
        sum->square++;
    }
}

/* It goes on after each time, in a thread of the pool and in others. */
static void test_giving_way_is_harmless_anywhere(void **state)
{
    (void)state;
    struct desk desk = {.loop = loop_new(), .wanted = 1};
    struct sum sum = {.desk = &desk, .number = 1000};
    sum.job = (struct pool_job){.work = give_way_and_count, .done = done};
    desk.pool = pool_new(desk.loop, 1, 1);
    assert_int_equal(pool_do(desk.pool, &sum.job), 0);
    loop_run(desk.loop);
    assert_int_equal(sum.square, 1000);
    give_way_and_count(&sum.job);
    assert_int_equal(sum.square, 2000);
    pool_free(&desk.pool);
    loop_free(&desk.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_is_done_off_the_loop),
        cmocka_unit_test(test_the_line_is_bounded_and_each_is_told),
        cmocka_unit_test(test_what_has_no_room_is_refused),
        cmocka_unit_test(test_giving_way_is_harmless_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
