/* SPDX-License-Identifier: MIT */
/* LD_PRELOAD: a wall clock that is CLOCK_APART_MS milliseconds ahead; behind, when that is negative. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long apart_ms(void)
{
    static long ms;
    static int known;
    const char *text = known ? NULL : getenv("CLOCK_APART_MS");
    ms = text != NULL ? strtol(text, NULL, 10) : ms;
    known = 1;
    return ms;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        long long ns = (now->tv_sec + apart_ms() / 1000) * 1000000000LL + now->tv_nsec +
                       apart_ms() % 1000 * 1000000LL;
        now->tv_sec = ns / 1000000000;
        now->tv_nsec = ns % 1000000000;
    }
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec time_of_day;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &time_of_day);
    now->tv_sec = time_of_day.tv_sec;
    now->tv_usec = time_of_day.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now)
{
    struct timespec time_of_day;
    clock_gettime(CLOCK_REALTIME, &time_of_day);
    if (now != NULL) {
        *now = time_of_day.tv_sec;
    }
    return time_of_day.tv_sec;
}
