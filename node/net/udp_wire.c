/* SPDX-License-Identifier: MIT */
#include "node/net/udp_wire.h"

#include "store/base/mem.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>

enum { SLOT = 64 * 1024 }; /* room for the largest piece */

/* Room for the one word that the kernel tells or is told of a piece, aligned as it must be. */
union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
};

struct udp_inbox {
    struct mmsghdr messages[UDP_PIECES];
    struct iovec iov[UDP_PIECES];
    struct sockaddr_storage peers[UDP_PIECES];
    union control control[UDP_PIECES];
    char bytes[UDP_PIECES][SLOT];
};

bool udp_wire_prepare(int fd)
{
    int on = 1, off = 0;
    setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on)); /* without it they come one by one */
    return setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &off, sizeof(off)) == 0;
}

/* ------------------------------------------------------------------------------------ in */

struct udp_inbox *udp_inbox_new(void)
{
    struct udp_inbox *inbox = mem_alloc(sizeof(*inbox));
    for (int i = 0; i < UDP_PIECES; i++) {
        inbox->iov[i] = (struct iovec){inbox->bytes[i], SLOT};
    }
    return inbox;
}

unsigned udp_inbox_read(struct udp_inbox *inbox, int fd)
{
    for (int i = 0; i < UDP_PIECES; i++) {
        inbox->messages[i].msg_hdr =
            (struct msghdr){.msg_iov = &inbox->iov[i],
                            .msg_iovlen = 1,
                            .msg_name = &inbox->peers[i],
                            .msg_namelen = sizeof(inbox->peers[i]),
                            .msg_control = inbox->control[i].bytes,
                            .msg_controllen = sizeof(inbox->control[i].bytes)};
    }
    int count = recvmmsg(fd, inbox->messages, UDP_PIECES, MSG_DONTWAIT, NULL);
    return count > 0 ? (unsigned)count : 0;
}

/* The length of the datagrams that were joined into this message, or 0 when there is one. */
static size_t joined_each(const struct msghdr *message)
{
    const struct cmsghdr *head = CMSG_FIRSTHDR(message);
    int each = 0;
    if (head != NULL && head->cmsg_level == IPPROTO_UDP && head->cmsg_type == UDP_GRO) {
        memcpy(&each, CMSG_DATA(head), sizeof(each));
    }
    return each > 0 ? (size_t)each : 0;
}

struct udp_piece udp_inbox_piece(const struct udp_inbox *inbox, unsigned i)
{
    const struct mmsghdr *message = &inbox->messages[i];
    size_t each = joined_each(&message->msg_hdr);
    return (struct udp_piece){.peer = address_of((const struct sockaddr *)&inbox->peers[i]),
                              .bytes = span_of(inbox->bytes[i], message->msg_len),
                              .each = each > 0 ? each : message->msg_len};
}

/* ------------------------------------------------------------------------------------ out */

void udp_outbox_init(struct udp_outbox *outbox, int family, bool joins)
{
    outbox->family = family;
    outbox->joins = joins;
    outbox->pieces = outbox->datagrams = 0;
}

static bool same_peer(const struct address *a, const struct address *b)
{
    return a->port == b->port && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

/* A shorter one ends a piece. One without bytes would vanish in it. */
static bool continues(const struct udp_outbox_piece *piece, const struct address *peer, size_t len)
{
    return len > 0 && len <= piece->each && piece->last == piece->each &&
           piece->each <= UDP_JOINED_EACH && piece->count < UDP_JOINED_DATAGRAMS &&
           (piece->count + 1) * piece->each <= UDP_JOINED_BYTES && same_peer(piece->peer, peer);
}

bool udp_outbox_add(struct udp_outbox *outbox, const struct address *peer, struct chunk *chunk)
{
    struct udp_outbox_piece *piece = outbox->piece + outbox->pieces - (outbox->pieces > 0);
    if (outbox->datagrams == UDP_DATAGRAMS) {
        return false;
    }
    if (outbox->pieces == 0 || !outbox->joins || !continues(piece, peer, chunk->len)) {
        if (outbox->pieces == UDP_PIECES) {
            return false;
        }
        piece = &outbox->piece[outbox->pieces++];
        *piece =
            (struct udp_outbox_piece){.peer = peer, .each = chunk->len, .first = outbox->datagrams};
    }
    piece->last = chunk->len;
    piece->count++;
    outbox->datagram[outbox->datagrams++] = (struct iovec){chunk->data, chunk->len};
    return true;
}

/* Tells the kernel where to cut. */
static void cut(struct msghdr *message, union control *control, size_t each)
{
    uint16_t bytes = (uint16_t)each;
    message->msg_control = control->bytes;
    message->msg_controllen = CMSG_SPACE(sizeof(bytes));
    *control = (union control){.bytes = {0}};
    control->align = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(bytes)), .cmsg_level = IPPROTO_UDP, .cmsg_type = UDP_SEGMENT};
    memcpy(CMSG_DATA(&control->align), &bytes, sizeof(bytes));
}

int udp_outbox_send(struct udp_outbox *outbox, int fd)
{
    struct mmsghdr messages[UDP_PIECES];
    struct sockaddr_storage peers[UDP_PIECES];
    union control controls[UDP_PIECES];
    for (unsigned i = 0; i < outbox->pieces; i++) {
        const struct udp_outbox_piece *piece = &outbox->piece[i];
        socklen_t len = address_sockaddr(piece->peer, outbox->family, &peers[i]);
        messages[i].msg_hdr = (struct msghdr){.msg_iov = outbox->datagram + piece->first,
                                              .msg_iovlen = piece->count,
                                              .msg_name = &peers[i],
                                              .msg_namelen = len};
        if (piece->count > 1) {
            cut(&messages[i].msg_hdr, &controls[i], piece->each);
        }
    }
    int sent = sendmmsg(fd, messages, outbox->pieces, MSG_NOSIGNAL);
    int datagrams = sent > 0 ? 0 : -1;
    for (int i = 0; i < sent; i++) {
        datagrams += (int)outbox->piece[i].count;
    }
    return datagrams;
}
