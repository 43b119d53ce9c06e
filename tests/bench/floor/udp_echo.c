/* SPDX-License-Identifier: MIT */
/* bench_udp_echo ADDRESS:PORT: the least that a server of datagrams can be. It sends every datagram
 * back to where it came from: one recvmmsg(2) and one sendmmsg(2) for up to 64 of them.
 *
 *   epoll -> recvmmsg -> sendmmsg of the same buffers to the same addresses */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
    BATCH = 64,
    SLOT = 2048,
    KERNEL_BUFFER = 4 * 1024 * 1024,
};

static struct mmsghdr messages[BATCH];
static struct iovec parts[BATCH];
static struct sockaddr_storage peers[BATCH];
static char bytes[BATCH][SLOT];

static void __attribute__((noreturn)) die(const char *what)
{
    fprintf(stderr, "bench_udp_echo: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int open_socket(const char *text)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    char host[INET_ADDRSTRLEN] = "";
    int buffer = KERNEL_BUFFER;
    const char *colon = strchr(text, ':');
    if (colon == NULL || (size_t)(colon - text) >= sizeof(host)) {
        die("not ADDRESS:PORT");
    }
    memcpy(host, text, (size_t)(colon - text));
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
        die("not ADDRESS:PORT");
    }
    address.sin_port = htons((uint16_t)atoi(colon + 1));
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        die(text);
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
    return fd;
}

static void echo(int fd)
{
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){bytes[i], SLOT};
        messages[i].msg_hdr = (struct msghdr){.msg_name = &peers[i],
                                              .msg_namelen = sizeof(peers[i]),
                                              .msg_iov = &parts[i],
                                              .msg_iovlen = 1};
    }
    int count = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++) {
        parts[i].iov_len = messages[i].msg_len;
    }
    for (int done = 0; done < count;) {
        int sent = sendmmsg(fd, messages + done, (unsigned)(count - done), 0);
        done += sent > 0 ? sent : 1; /* what the kernel does not take is lost, as UDP may be */
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: bench_udp_echo ADDRESS:PORT\n");
        return 1;
    }
    int fd = open_socket(argv[1]), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        die("epoll");
    }
    for (;;) {
        if (epoll_wait(epoll, &event, 1, -1) > 0) {
            echo(fd);
        }
    }
}
