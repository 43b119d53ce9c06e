/* SPDX-License-Identifier: MIT */
/* A clock for tests of what takes time. Linked into a test program, it stands before the C library: the
 * monotonic clock stands still while the program works, and goes on by what it waits for, at once.
 *
 *     epoll_wait(timeout)   something is ready: no time passes; nothing is: the whole time-out has
 *     usleep(us)            so much has passed
 *
 * So a test neither waits nor depends on when its process runs. What it speaks to must be in the same
 * process, and ready as soon as it was written: socket pairs, not TCP. */
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static uint64_t passed_ns;

static void tell(struct timespec *now)
{
    static struct timespec start;
    if (start.tv_sec == 0) {
        syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &start);
    }
    uint64_t ns = (uint64_t)start.tv_nsec + passed_ns;
    now->tv_sec = start.tv_sec + (time_t)(ns / 1000000000U);
    now->tv_nsec = (long)(ns % 1000000000U);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE) {
        tell(now);
        return 0;
    }
    return (int)syscall(SYS_clock_gettime, clock, now);
}

int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout_ms)
{
    int wait_ms = timeout_ms < 0 ? -1 : 0; /* for ever: only what is ready can end it */
    int ready = (int)syscall(SYS_epoll_pwait, epoll, events, most, wait_ms, NULL, sizeof(uint64_t));
    if (ready == 0 && timeout_ms > 0) {
        passed_ns += (uint64_t)timeout_ms * 1000000U;
    }
    return ready;
}

int usleep(useconds_t us)
{
    passed_ns += (uint64_t)us * 1000U;
    return 0;
}
