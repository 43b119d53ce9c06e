/* SPDX-License-Identifier: MIT */
/* What a thread may ask of the system's scheduler for itself, read back from it. */
#include "node/core/priority.h"

#include "tests/unit/cmocka_all.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

struct seen {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t slice_ns, deadline, period;
};

static struct seen look(void)
{
    struct seen seen = {0};
    assert_int_equal(syscall(SYS_sched_getattr, 0, &seen, sizeof(seen), 0), 0);
    return seen;
}

/* Slices of one's own came with Linux 6.12; before, what was asked for is not told. */
static bool has_slices(void)
{
    struct utsname name;
    int major = 0, minor = 0;
    assert_int_equal(uname(&name), 0);
    assert_int_equal(sscanf(name.release, "%d.%d", &major, &minor), 2);
    return major > 6 || (major == 6 && minor >= 12);
}

static void *in_a_thread(void *arg)
{
    struct seen *seen = arg;
    seen[0] = look();
    priority_wakes_early();
    seen[1] = look();
    priority_has_time();
    seen[2] = look();
    priority_has_time();
    priority_has_time();
    seen[3] = look();
    return NULL;
}

static void test_a_thread_is_what_it_says(void **state)
{
    (void)state;
    struct seen before = look(), seen[4];
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, in_a_thread, seen), 0);
    pthread_join(thread, NULL);
    assert_int_equal(seen[1].nice, seen[0].nice);
    if (has_slices()) {
        assert_in_range(seen[1].slice_ns, 100000, 1000000); /* shorter than any kernel's own */
        assert_true(seen[2].slice_ns > seen[1].slice_ns);
    }
    assert_int_equal(seen[2].nice, seen[0].nice + 10 < 19 ? seen[0].nice + 10 : 19);
    assert_int_equal(seen[3].nice, 19);
    assert_memory_equal(&before, &seen[0], sizeof(before)); /* others are as they were */
    struct seen after = look();
    assert_memory_equal(&before, &after, sizeof(before));
}

/* An operator's own choice stays. */
static void *under_another_policy(void *arg)
{
    struct seen *seen = arg;
    struct sched_param none = {0};
    assert_int_equal(sched_setscheduler(0, SCHED_BATCH, &none), 0);
    seen[0] = look();
    priority_wakes_early();
    priority_has_time();
    seen[1] = look();
    return NULL;
}

static void test_another_policy_stays(void **state)
{
    (void)state;
    struct seen seen[2];
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, under_another_policy, seen), 0);
    pthread_join(thread, NULL);
    assert_int_equal(seen[0].policy, SCHED_BATCH);
    assert_memory_equal(&seen[0], &seen[1], sizeof(seen[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_thread_is_what_it_says),
        cmocka_unit_test(test_another_policy_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
