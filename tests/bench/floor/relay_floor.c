/* relay_floor ADDRESS:PORT: the least that a TCP fan-out can be. One thread, epoll; what one read
 * gives goes to every other connection with one write(2) each. It looks at no byte, has no queues
 * and no limits: a receiver that does not keep up ends the program. It prints `ready` when it
 * listens. */
#include "store/base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_SIZE = 1 << 16, BATCH = 256 };

struct peer {
    int fd;
    uint32_t at; /* in peers */
};

static int epoll_fd;
static struct peer **peers;
static uint32_t count, cap;
static char buffer[READ_SIZE];

static void __attribute__((noreturn)) die(const char *what)
{
    fprintf(stderr, "relay_floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void watch(int fd, void *data)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = data};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        die("epoll_ctl");
    }
}

static void peer_close(struct peer *peer)
{
    peers[peer->at] = peers[--count];
    peers[peer->at]->at = peer->at;
    close(peer->fd);
    free(peer);
}

static void fan_out(const struct peer *sender, size_t len)
{
    for (uint32_t i = 0; i < count; i++) {
        if (peers[i] == sender) {
            continue;
        }
        ssize_t n = write(peers[i]->fd, buffer, len);
        if (n != (ssize_t)len && !(n < 0 && (errno == EPIPE || errno == ECONNRESET))) {
            die("a receiver does not keep up");
        }
    }
}

static void readable(struct peer *peer)
{
    ssize_t n = read(peer->fd, buffer, READ_SIZE);
    if (n > 0) {
        fan_out(peer, (size_t)n);
    } else if (n == 0 || errno != EAGAIN) {
        peer_close(peer);
    }
}

static void accept_all(int listener)
{
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (count == cap) {
            cap = cap > 0 ? cap * 2 : 256;
            peers = mem_realloc(peers, cap * sizeof(struct peer *));
        }
        struct peer *peer = mem_zalloc(sizeof(*peer));
        *peer = (struct peer){.fd = fd, .at = count};
        peers[count++] = peer;
        watch(fd, peer);
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
        bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 4096) != 0) {
        die(text);
    }
    return fd;
}

int main(int argc, char **argv)
{
    struct epoll_event events[BATCH];
    if (argc != 2) {
        fputs("usage: relay_floor ADDRESS:PORT\n", stderr);
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
                accept_all(listener);
            } else {
                readable(events[i].data.ptr);
            }
        }
    }
}
