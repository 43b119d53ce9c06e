/* SPDX-License-Identifier: MIT */
#include "tests/bench/load/loop.h"

#include "tests/bench/load/fail.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
    BATCH = 512,
    LONGEST_WAIT_MS = 50,
};

void loop_init(struct loop *loop)
{
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    must(loop->epoll >= 0, "epoll_create1");
}

static void control(struct loop *loop, int verb, struct handler *handler, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = handler};
    must(epoll_ctl(loop->epoll, verb, handler->fd, &event) == 0, "epoll_ctl");
}

void loop_add(struct loop *loop, struct handler *handler, uint32_t events)
{
    control(loop, EPOLL_CTL_ADD, handler, events);
}

void loop_change(struct loop *loop, struct handler *handler, uint32_t events)
{
    control(loop, EPOLL_CTL_MOD, handler, events);
}

void loop_remove(struct loop *loop, struct handler *handler)
{
    control(loop, EPOLL_CTL_DEL, handler, 0);
}

void loop_turn(struct loop *loop)
{
    struct epoll_event events[BATCH];
    int n = epoll_wait(loop->epoll, events, BATCH, LONGEST_WAIT_MS);
    must(n >= 0 || errno == EINTR, "epoll_wait");
    for (int i = 0; i < n; i++) {
        struct handler *handler = events[i].data.ptr;
        handler->ready(handler, events[i].events);
    }
}

void loop_run_for(struct loop *loop, double seconds)
{
    uint64_t end = now_ns() + (uint64_t)(seconds * 1e9);
    while (now_ns() < end) {
        loop_turn(loop);
    }
}

static void on_input(struct handler *handler, uint32_t events)
{
    char byte;
    (void)events;
    if (read(handler->fd, &byte, 1) <= 0) {
        handler->fd = -1;
    }
}

void loop_hold(struct loop *loop)
{
    struct handler input = {.fd = STDIN_FILENO, .ready = on_input};
    puts("ready");
    fflush(stdout);
    loop_add(loop, &input, EPOLLIN);
    while (input.fd >= 0) {
        loop_turn(loop);
    }
}

int timer_open(void)
{
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    must(timer >= 0, "timerfd_create");
    return timer;
}

void timer_at(int timer, uint64_t when)
{
    struct itimerspec spec = {.it_value = {.tv_sec = (time_t)(when / 1000000000U),
                                           .tv_nsec = (long)(when % 1000000000U)}};
    must(timerfd_settime(timer, TFD_TIMER_ABSTIME, &spec, NULL) == 0, "timerfd_settime");
}

void timer_clear(int timer)
{
    uint64_t rings;
    ssize_t n = read(timer, &rings, sizeof(rings));
    must(n >= 0 || errno == EAGAIN, "read a timer");
}
