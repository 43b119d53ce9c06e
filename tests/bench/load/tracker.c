/* SPDX-License-Identifier: MIT */
/* Peers of a tracker, a UDP socket each: each sends --window requests, waits for the answers, and
 * sends the next. Of ten, one announce, seven pulses, two pushes for a peer that stays. With --floor 1 the same bytes, and the
 * answers are echoes. Prints requests, lost ones, CPU time of --pid, and answer times. */
#include "store/base/buf.h"
#include "store/base/mem.h"
#include "tests/bench/load/cpu.h"
#include "tests/bench/load/fail.h"
#include "tests/bench/load/mode.h"
#include "tests/bench/load/samples.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    WINDOW_MOST = 64,
    ANSWER_MOST = 256,
    PIECES = 8,
    PIECE_MOST = 64 * 1024,
    ACTION_AT = 11, /* of the action's name in {"action":"pulse"... */
    MIX = 10,
    REQUEST_SIZE = 38, /* of a push; the others are filled up with spaces */
    LOST_AFTER_NS = 300000000,
};

enum kind { ANNOUNCE, PULSE, PUSH, KINDS };

/* Requests of one kind in flight, oldest first: the answers of one kind come in order. */
struct flight {
    uint64_t at[WINDOW_MOST];
    uint32_t first, end;
};

struct peer {
    struct handler handler;
    struct swarm *swarm;
    struct flight flights[KINDS];
    uint32_t in_flight, turn;
    uint64_t heard_ns;
};

struct swarm {
    struct loop *loop;
    const struct options *options;
    struct peer *peers;
    char push[64];
    uint64_t answered, lost;
    struct samples samples;
    bool recording;
};

/* What one system call brings: answers in a row of one length, joined by the kernel (UDP_GRO). */
static char pieces[PIECES][PIECE_MOST];

static struct span text_of(const struct swarm *swarm, enum kind kind)
{
    switch (kind) {
    case ANNOUNCE:
        return SPAN("{\"action\":\"announce\"}");
    case PULSE:
        return SPAN("{\"action\":\"pulse\"}");
    default:
        return span_str(swarm->push);
    }
}

static enum kind next_kind(struct peer *peer)
{
    switch (peer->turn++ % MIX) {
    case 0:
        return ANNOUNCE;
    case 4:
    case 8:
        return PUSH;
    default:
        return PULSE;
    }
}

/* All that is due in one call: the kernel cuts it into datagrams (UDP_SEGMENT), and joins the answers
 * (UDP_GRO), so that what is measured is the server and not this program. */
static void refill(struct peer *peer)
{
    char requests[WINDOW_MOST][REQUEST_SIZE];
    uint32_t count = peer->swarm->options->window - peer->in_flight;
    uint64_t now = now_ns();
    for (uint32_t i = 0; i < count; i++) {
        enum kind kind = next_kind(peer);
        struct flight *flight = &peer->flights[kind];
        struct span text = text_of(peer->swarm, kind);
        flight->at[flight->end++ % WINDOW_MOST] = now;
        memset(requests[i], ' ', REQUEST_SIZE);
        memcpy(requests[i], text.ptr, text.len);
    }
    if (count > 0) {
        ssize_t sent = send(peer->handler.fd, requests, count * sizeof(requests[0]), 0);
        must(sent == (ssize_t)(count * sizeof(requests[0])), "send");
        peer->in_flight += count;
    }
}

static enum kind kind_of(struct span answer)
{
    if (answer.len < ACTION_AT + 3 || memmem(answer.ptr, answer.len, "error", 5) != NULL) {
        fail("answered: %.*s", SPAN_ARG(answer));
    }
    const char *name = answer.ptr + ACTION_AT;
    return name[0] == 'a' ? ANNOUNCE : name[2] == 'l' ? PULSE : PUSH;
}

static void take_answer(struct peer *peer, struct span answer, uint64_t now)
{
    struct flight *flight = &peer->flights[kind_of(answer)];
    if (flight->first == flight->end) {
        return; /* given up as lost */
    }
    uint64_t sent_at = flight->at[flight->first++ % WINDOW_MOST];
    peer->in_flight--;
    if (peer->swarm->recording) {
        peer->swarm->answered++;
        samples_add(&peer->swarm->samples, now - sent_at);
    }
}

static void take_piece(struct peer *peer, struct mmsghdr *piece, uint64_t now)
{
    const char *bytes = piece->msg_hdr.msg_iov->iov_base;
    const struct cmsghdr *control = CMSG_FIRSTHDR(&piece->msg_hdr);
    int each = (int)piece->msg_len;
    if (control != NULL) {
        memcpy(&each, CMSG_DATA(control), sizeof(each));
    }
    for (int at = 0; at < (int)piece->msg_len; at += each) {
        int left = (int)piece->msg_len - at;
        take_answer(peer, span_of(bytes + at, (size_t)(left < each ? left : each)), now);
    }
}

static void on_readable(struct handler *handler, uint32_t events)
{
    struct peer *peer = CONTAINER_OF(handler, struct peer, handler);
    struct mmsghdr messages[PIECES] = {0};
    struct iovec parts[PIECES];
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } controls[PIECES];
    (void)events;
    for (int i = 0; i < PIECES; i++) {
        parts[i] = (struct iovec){pieces[i], PIECE_MOST};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i],
                                              .msg_iovlen = 1,
                                              .msg_control = controls[i].bytes,
                                              .msg_controllen = sizeof(controls[i].bytes)};
    }
    int count = recvmmsg(handler->fd, messages, PIECES, MSG_DONTWAIT, NULL);
    must(count > 0 || errno == EAGAIN, "recvmmsg");
    uint64_t now = peer->heard_ns = now_ns();
    for (int i = 0; i < count; i++) {
        take_piece(peer, &messages[i], now);
    }
    if (peer->in_flight == 0) {
        refill(peer);
    }
}

/* UDP may lose: a peer that heard nothing for long begins again. */
static void look_for_lost(struct swarm *swarm)
{
    uint64_t now = now_ns();
    for (uint32_t i = 0; i < swarm->options->connections; i++) {
        struct peer *peer = &swarm->peers[i];
        if (peer->in_flight > 0 && now - peer->heard_ns > LOST_AFTER_NS) {
            swarm->lost += peer->in_flight;
            memset(peer->flights, 0, sizeof(peer->flights));
            peer->in_flight = 0;
            peer->heard_ns = now;
            refill(peer);
        }
    }
}

static void run_for(struct swarm *swarm, double seconds)
{
    uint64_t end = now_ns() + (uint64_t)(seconds * 1e9), next_look = 0;
    while (now_ns() < end) {
        loop_turn(swarm->loop);
        if (now_ns() > next_look) {
            look_for_lost(swarm);
            next_look = now_ns() + LOST_AFTER_NS / 10;
        }
    }
}

static int connect_to(const struct sockaddr_in *node)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int size = REQUEST_SIZE, on = 1;
    must(fd >= 0, "socket");
    must(setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)) == 0, "UDP_SEGMENT");
    must(setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on)) == 0, "UDP_GRO");
    must(connect(fd, (const struct sockaddr *)node, sizeof(*node)) == 0, "connect");
    return fd;
}

/* Announces over `fd` and waits for the answer; what stands behind the last colon is the share id.
 */
static void announce(int fd, char share_id[9])
{
    char answer[ANSWER_MOST];
    struct timeval patience = {2, 0};
    struct span text = text_of(NULL, ANNOUNCE);
    must(fcntl(fd, F_SETFL, 0) == 0, "fcntl"); /* the answer is waited for */
    must(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0, "setsockopt");
    must(send(fd, text.ptr, text.len, 0) == (ssize_t)text.len, "announce");
    ssize_t n = recv(fd, answer, sizeof(answer), 0);
    must(n > 0, "the answer to announce");
    memcpy(share_id, "00000000", 9);
    if (n > 12 && answer[n - 1] == '}' && answer[n - 2] == '}') {
        memcpy(share_id, answer + n - 11, 8);
    }
}

static void open_peers(struct swarm *swarm)
{
    const struct options *options = swarm->options;
    char share_id[9];
    int stays = connect_to(&options->nodes[0]);
    announce(stays, share_id);
    snprintf(swarm->push, sizeof(swarm->push), "{\"action\":\"push\",\"shareId\":\"%s\"}",
             share_id);
    for (uint32_t i = 0; i < options->connections; i++) {
        struct peer *peer = &swarm->peers[i];
        int fd = connect_to(&options->nodes[i % options->node_count]);
        announce(fd, share_id);
        *peer = (struct peer){.handler = {fd, on_readable}, .swarm = swarm, .turn = i};
        loop_add(swarm->loop, &peer->handler, EPOLLIN);
    }
}

void mode_tracker(struct loop *loop, const struct options *options)
{
    mode_needs_node(options);
    if (options->window > WINDOW_MOST) {
        fail("--window is %d at most", WINDOW_MOST);
    }
    struct swarm swarm = {.loop = loop, .options = options};
    swarm.peers = mem_zalloc(options->connections * sizeof(*swarm.peers));
    phase_set("announcing");
    open_peers(&swarm);
    phase_set("warming up");
    look_for_lost(&swarm);
    for (uint32_t i = 0; i < options->connections; i++) {
        swarm.peers[i].heard_ns = now_ns();
        refill(&swarm.peers[i]);
    }
    run_for(&swarm, options->warm_up);
    phase_set("measuring");
    uint64_t lost_before = swarm.lost, start = now_ns(), cpu = cpu_ns(options->pid);
    swarm.recording = true;
    run_for(&swarm, options->seconds);
    swarm.recording = false;
    cpu = cpu_ns(options->pid) - cpu;
    printf("{\"requests\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"seconds\":%.6f,\"cpu_ns\":%" PRIu64
           ",",
           swarm.answered, swarm.lost - lost_before, (double)(now_ns() - start) / 1e9, cpu);
    samples_print(&swarm.samples, "answer");
    puts("}");
    free(swarm.samples.ns);
    free(swarm.peers);
}
