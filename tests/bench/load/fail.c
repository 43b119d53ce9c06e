/* SPDX-License-Identifier: MIT */
#include "tests/bench/load/fail.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

static const char *volatile current_phase = "starting";

void phase_set(const char *phase)
{
    current_phase = phase;
}

void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "bench_load: while %s: ", current_phase);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

void must(bool ok, const char *what)
{
    if (!ok) {
        fail("%s: %s", what, strerror(errno));
    }
}

static void put(const char *text)
{
    ssize_t ignored = write(STDERR_FILENO, text, strlen(text));
    (void)ignored;
}

static void on_alarm(int signal_number)
{
    (void)signal_number;
    put("bench_load: out of time while ");
    put(current_phase);
    put("\n");
    _exit(1);
}

void fail_after(unsigned seconds)
{
    signal(SIGALRM, on_alarm);
    alarm(seconds);
}
