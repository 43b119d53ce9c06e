/* SPDX-License-Identifier: MIT */
#include "node/app/guard.h"

#include "store/base/clock.h"
#include "store/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GUARD_LOOK_MS = 1000 };

/* A signal to the whole group means the others. */
static void ignore_signals(void)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2};
    sigset_t all;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
        signal(numbers[i], SIG_IGN);
    }
    sigfillset(&all);
    sigprocmask(SIG_UNBLOCK, &all, NULL);
}

/* Nothing of the parent is kept open here but `kept`: no port, no log. */
static void close_others(int kept)
{
    if (kept > 0) {
        syscall(SYS_close_range, 0U, (unsigned)kept - 1, 0U);
    }
    syscall(SYS_close_range, (unsigned)kept + 1, ~0U, 0U);
}

static void wait_for_end_of(int pipe)
{
    char byte;
    ssize_t n;
    do {
        n = read(pipe, &byte, 1);
    } while (n > 0 || (n < 0 && errno == EINTR));
}

/* Until all of `workers` have ended, or the limit. */
static void wait_for_all(struct pollfd *workers, unsigned count, uint64_t until_ms)
{
    bool left = true;
    while (left && clock_monotonic_ms() < until_ms) {
        left = false;
        poll(workers, count, GUARD_LOOK_MS);
        for (unsigned i = 0; i < count; i++) {
            if (workers[i].fd >= 0 && workers[i].revents != 0) {
                close(workers[i].fd);
                workers[i].fd = -1; /* it has ended */
            }
            left = left || workers[i].fd >= 0;
        }
    }
}

/* In the guard; does not return. */
static void stand_guard(int pipe, const struct beat *workers, unsigned count, uint64_t limit_ms)
{
    struct pollfd *left = mem_zalloc(count * sizeof(*left));
    prctl(PR_SET_NAME, "muster-guard");
    ignore_signals();
    close_others(pipe);
    wait_for_end_of(pipe);
    for (unsigned i = 0; i < count; i++) {
        pid_t pid = workers[i].pid;
        left[i] = (struct pollfd){.fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0U) : -1,
                                  .events = POLLIN};
    }
    wait_for_all(left, count, clock_monotonic_ms() + limit_ms);
    for (unsigned i = 0; i < count; i++) {
        if (left[i].fd >= 0) {
            syscall(SYS_pidfd_send_signal, left[i].fd, SIGKILL, NULL, 0U);
        }
    }
    free(left);
    _exit(0);
}

void guard_start(struct guard *guard, const struct beat *workers, unsigned count, uint64_t limit_ms)
{
    int ends[2];
    guard_forget(guard);
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[1]);
        stand_guard(ends[0], workers, count, limit_ms);
    }
    close(ends[0]);
    guard->pipe = ends[1];
    guard->pid = pid > 0 ? pid : 0;
}

void guard_forget(struct guard *guard)
{
    if (guard->pipe > 0) {
        close(guard->pipe);
    }
    *guard = (struct guard){0};
}

void guard_end(struct guard *guard)
{
    pid_t pid = guard->pid;
    guard_forget(guard);
    if (pid > 0) {
        waitpid(pid, NULL, 0);
    }
}
