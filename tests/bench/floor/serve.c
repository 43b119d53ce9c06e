/* SPDX-License-Identifier: MIT */
#include "tests/bench/floor/serve.h"

#include "store/base/span.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { BATCH = 256, BACKLOG = 4096 };

static const char *program;
static int epoll_fd;

void die(const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", program, what, strerror(errno));
    exit(1);
}

static void watch(int fd, void *data)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = data};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        die("epoll_ctl");
    }
}

static void accept_all(int listener, const struct floor_handler *handler)
{
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        watch(fd, handler->accepted(fd));
    }
    if (errno != EAGAIN) {
        die("accept");
    }
}

static int listen_on(const char *text)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    struct span rest = span_str(text), host = span_cut(&rest, ':');
    char host_text[INET_ADDRSTRLEN] = {0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    memcpy(host_text, host.ptr, host.len < sizeof(host_text) ? host.len : 0);
    address.sin_port = htons((uint16_t)(rest.len > 0 ? atoi(rest.ptr) : 0));
    if (inet_pton(AF_INET, host_text, &address.sin_addr) != 1 || address.sin_port == 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, BACKLOG) != 0) {
        die(text);
    }
    return fd;
}

int floor_main(int argc, char **argv, const struct floor_handler *handler)
{
    struct epoll_event events[BATCH];
    program = argv[0];
    if (argc != 2) {
        fprintf(stderr, "usage: %s ADDRESS:PORT\n", program);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_on(argv[1]);
    watch(listener, NULL);
    puts("ready");
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(epoll_fd, events, BATCH, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL) {
                accept_all(listener, handler);
            } else {
                handler->readable(events[i].data.ptr);
            }
        }
    }
}
