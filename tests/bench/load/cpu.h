/* SPDX-License-Identifier: MIT */
/* cpu: CPU time of a process, all threads, user and system, to the nanosecond. */
#ifndef MUSTER_BENCH_LOAD_CPU_H
#define MUSTER_BENCH_LOAD_CPU_H

#include <stdint.h>
#include <sys/types.h>

/* Nanoseconds used so far; pid 0 is the caller. */
uint64_t cpu_ns(pid_t pid);

#endif
