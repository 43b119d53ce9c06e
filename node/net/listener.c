/* SPDX-License-Identifier: MIT */
#include "node/net/listener.h"

#include "node/core/log.h"
#include "node/net/bound.h"
#include "node/net/inherited.h"
#include "store/base/mem.h"
#include "store/base/timer.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    LISTENER_BACKLOG = 4096,
    ACCEPTS_PER_TURN = 16,
    LISTENER_PAUSE_MS = 200, /* after the process ran out of descriptors or memory */
};

struct listener {
    struct net *net;
    struct event *event, *pause;
    struct address address;
    int fd;
    listener_fn *fn;
    void *arg;
};

static void on_pause_over(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct listener *listener = arg;
    event_add(listener->event, NULL);
}

/* A level-triggered listener that cannot accept would turn the loop into a busy one. */
static void pause_accepting(struct listener *listener, int error)
{
    log_warn("accept failed, pausing", LOG_TEXT_FIELD("error", strerror(error)));
    event_del(listener->event);
    timer_after(listener->pause, LISTENER_PAUSE_MS);
}

/* Takes one that waits, if any does. */
static bool accept_one(struct listener *listener)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);
    int client =
        accept4(listener->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0) {
        return false;
    }
    struct address from = address_of((struct sockaddr *)&peer);
    listener->fn(listener->arg, client, &from);
    return true;
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct listener *listener = arg;
    if (net_is_handed_over(listener->net)) {
        event_del(listener->event); /* clients that connect are the successor's */
        return;
    }
    loop_awake(net_loop(listener->net));
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        if (!accept_one(listener)) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                pause_accepting(listener, errno);
            }
            return; /* EAGAIN: all taken; ECONNABORTED and the like: the next turn goes on */
        }
    }
}

static void set_keepalive(int fd, int idle_s, int interval_s, int probes)
{
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

/* tcp(7): Linux gives these of the listening socket to every socket that it accepts. */
static void set_inherited_options(int fd)
{
    int on = 1, silent_ms = 120 * 1000;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    set_keepalive(fd, 60, 15, 4);
    /* Probes are only sent while nothing is on its way; a peer that dies with bytes unconfirmed
     * would be kept for a quarter of an hour. */
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silent_ms, sizeof(silent_ms));
}

/* A listening socket, or -1 with a message. */
static int open_bound(const char *bind, bool shared, char *error, size_t error_size)
{
    int family, fd = bound_open(bind, SOCK_STREAM, shared, &family);
    if (fd >= 0) {
        set_inherited_options(fd);
        if (listen(fd, LISTENER_BACKLOG) == 0) {
            return fd;
        }
        int reason = errno;
        close(fd);
        errno = reason;
    }
    bound_error("cannot listen on", bind, error, error_size);
    return -1;
}

int listener_probe(const char *bind, char *error, size_t error_size)
{
    if (bound_is_given(bind, SOCK_STREAM)) {
        return 0;
    }
    int fd = open_bound(bind, false, error, error_size);
    if (fd < 0) {
        return -1;
    }
    close(fd);
    return 0;
}

static struct listener *open_listener(struct net *net, const char *bind, bool shared,
                                      listener_fn *fn, void *arg, char *error, size_t error_size)
{
    int fd = open_bound(bind, shared, error, error_size);
    if (fd < 0) {
        return NULL;
    }
    struct sockaddr_storage bound;
    socklen_t len = sizeof(bound);
    getsockname(fd, (struct sockaddr *)&bound, &len);
    struct listener *listener = mem_zalloc(sizeof(*listener));
    struct event_base *base = loop_base(net_loop(net));
    *listener = (struct listener){.net = net, .fd = fd, .fn = fn, .arg = arg};
    listener->address = address_of((struct sockaddr *)&bound);
    listener->event = event_new(base, fd, EV_READ | EV_PERSIST, on_accept, listener);
    listener->pause = event_new(base, -1, 0, on_pause_over, listener);
    event_add(listener->event, NULL);
    return listener;
}

struct listener *listener_open(struct net *net, const char *bind, listener_fn *fn, void *arg,
                               char *error, size_t error_size)
{
    return open_listener(net, bind, net_shares_ports(net), fn, arg, error, error_size);
}

struct listener *listener_open_alone(struct net *net, const char *bind, listener_fn *fn, void *arg,
                                     char *error, size_t error_size)
{
    return open_listener(net, bind, false, fn, arg, error, error_size);
}

const struct address *listener_address(const struct listener *listener)
{
    return &listener->address;
}

void listener_set_keepalive(struct listener *listener, int idle_s, int interval_s, int probes)
{
    int by_probes = 0; /* a user time-out would take the place of the probes' own (tcp(7)) */
    set_keepalive(listener->fd, idle_s, interval_s, probes);
    setsockopt(listener->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &by_probes, sizeof(by_probes));
}

void listener_retire(struct listener **listener)
{
    bool ours = *listener != NULL && !net_is_handed_over((*listener)->net);
    for (int i = 0; ours && i < LISTENER_BACKLOG && accept_one(*listener); i++) {
    }
    listener_close(listener);
}

void listener_park(struct listener **listener)
{
    if (*listener != NULL && inherited_park((*listener)->fd)) {
        listener_close(listener);
    } else {
        listener_retire(listener);
    }
}

void listener_close(struct listener **listener)
{
    if (*listener != NULL) {
        event_free((*listener)->event);
        event_free((*listener)->pause);
        close((*listener)->fd);
        free(*listener);
        *listener = NULL;
    }
}
