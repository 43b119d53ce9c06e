/* SPDX-License-Identifier: MIT */
#include "tests/bench/load/cpu.h"

#include "tests/bench/load/fail.h"

#include <errno.h>
#include <time.h>

uint64_t cpu_ns(pid_t pid)
{
    clockid_t clock;
    struct timespec used;
    errno = clock_getcpuclockid(pid, &clock);
    must(errno == 0, "CPU clock of the measured process");
    must(clock_gettime(clock, &used) == 0, "CPU time of the measured process");
    return (uint64_t)used.tv_sec * 1000000000U + (uint64_t)used.tv_nsec;
}
