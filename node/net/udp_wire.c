/* SPDX-License-Identifier: MIT */
#include "node/net/udp_wire.h"

#include "store/base/mem.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>

enum { SLOT = 64 * 1024 }; /* room for the largest piece */

/* Room for what the kernel tells or is told of a piece, aligned as it must be: the length of its
 * datagrams, and its address here. */
union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

struct udp_inbox {
    struct mmsghdr messages[UDP_PIECES];
    struct iovec iov[UDP_PIECES];
    struct sockaddr_storage peers[UDP_PIECES];
    union control control[UDP_PIECES];
    char bytes[UDP_PIECES][SLOT];
};

bool udp_wire_prepare(int fd, int family, bool everywhere)
{
    int on = 1, off = 0;
    if (everywhere && family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
    } else if (everywhere) {
        setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
    }
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
static size_t joined_each(const struct cmsghdr *head)
{
    int each = 0;
    if (head->cmsg_level == IPPROTO_UDP && head->cmsg_type == UDP_GRO) {
        memcpy(&each, CMSG_DATA(head), sizeof(each));
    }
    return each > 0 ? (size_t)each : 0;
}

/* The address here that the kernel tells (ip(7), ipv6(7)); that of an IPv4 datagram on an IPv6 socket
 * comes in its mapped form. False: it tells something else. */
static bool read_here(const struct cmsghdr *head, struct address *here)
{
    if (head->cmsg_level == IPPROTO_IP && head->cmsg_type == IP_PKTINFO) {
        struct in_pktinfo info;
        memcpy(&info, CMSG_DATA(head), sizeof(info));
        const struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = info.ipi_spec_dst};
        *here = address_of((const struct sockaddr *)&in);
        return true;
    }
    if (head->cmsg_level == IPPROTO_IPV6 && head->cmsg_type == IPV6_PKTINFO) {
        struct in6_pktinfo info;
        memcpy(&info, CMSG_DATA(head), sizeof(info));
        const struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = info.ipi6_addr};
        *here = address_of((const struct sockaddr *)&in6);
        return true;
    }
    return false;
}

struct udp_piece udp_inbox_piece(struct udp_inbox *inbox, unsigned i)
{
    struct mmsghdr *message = &inbox->messages[i];
    struct udp_piece piece = {.path.peer = address_of((const struct sockaddr *)&inbox->peers[i]),
                              .bytes = span_of(inbox->bytes[i], message->msg_len),
                              .each = message->msg_len};
    for (struct cmsghdr *head = CMSG_FIRSTHDR(&message->msg_hdr); head != NULL;
         head = CMSG_NXTHDR(&message->msg_hdr, head)) {
        size_t each = read_here(head, &piece.path.here) ? 0 : joined_each(head);
        piece.each = each > 0 ? each : piece.each;
    }
    return piece;
}

/* ------------------------------------------------------------------------------------ out */

void udp_outbox_init(struct udp_outbox *outbox, int family, bool joins)
{
    outbox->family = family;
    outbox->joins = joins;
    outbox->pieces = outbox->datagrams = 0;
}

static bool same_path(const struct udp_path *a, const struct udp_path *b)
{
    return address_eq(&a->peer, &b->peer) && address_eq(&a->here, &b->here);
}

/* A shorter one ends a piece. One without bytes would vanish in it. */
static bool continues(const struct udp_outbox_piece *piece, const struct udp_path *path, size_t len)
{
    return len > 0 && len <= piece->each && piece->last == piece->each &&
           piece->each <= UDP_JOINED_EACH && piece->count < UDP_JOINED_DATAGRAMS &&
           (piece->count + 1) * piece->each <= UDP_JOINED_BYTES && same_path(piece->path, path);
}

bool udp_outbox_add(struct udp_outbox *outbox, const struct udp_path *path, struct chunk *chunk)
{
    struct udp_outbox_piece *piece = outbox->piece + outbox->pieces - (outbox->pieces > 0);
    if (outbox->datagrams == UDP_DATAGRAMS) {
        return false;
    }
    if (outbox->pieces == 0 || !outbox->joins || !continues(piece, path, chunk->len)) {
        if (outbox->pieces == UDP_PIECES) {
            return false;
        }
        piece = &outbox->piece[outbox->pieces++];
        *piece =
            (struct udp_outbox_piece){.path = path, .each = chunk->len, .first = outbox->datagrams};
    }
    piece->last = chunk->len;
    piece->count++;
    outbox->datagram[outbox->datagrams++] = (struct iovec){chunk->data, chunk->len};
    return true;
}

/* Tells the kernel one more thing of the message, whose room for such is in `control`. */
static void tell(struct msghdr *message, union control *control, const struct cmsghdr *kind,
                 const void *value, size_t size)
{
    struct cmsghdr *head = (void *)(control->bytes + message->msg_controllen);
    *head = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(size), .cmsg_level = kind->cmsg_level, .cmsg_type = kind->cmsg_type};
    memcpy(CMSG_DATA(head), value, size);
    message->msg_control = control->bytes;
    message->msg_controllen += CMSG_SPACE(size);
}

static void tell_where_to_cut(struct msghdr *message, union control *control, size_t each)
{
    static const struct cmsghdr kind = {.cmsg_level = IPPROTO_UDP, .cmsg_type = UDP_SEGMENT};
    uint16_t bytes = (uint16_t)each;
    tell(message, control, &kind, &bytes, sizeof(bytes));
}

static void tell_from_where(struct msghdr *message, union control *control, int family,
                            const struct address *here)
{
    static const struct cmsghdr four = {.cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO};
    static const struct cmsghdr six = {.cmsg_level = IPPROTO_IPV6, .cmsg_type = IPV6_PKTINFO};
    struct sockaddr_storage from;
    address_sockaddr(here, family, &from);
    if (family == AF_INET) {
        const struct in_pktinfo info = {.ipi_spec_dst = ((struct sockaddr_in *)&from)->sin_addr};
        tell(message, control, &four, &info, sizeof(info));
    } else {
        const struct in6_pktinfo info = {.ipi6_addr = ((struct sockaddr_in6 *)&from)->sin6_addr};
        tell(message, control, &six, &info, sizeof(info));
    }
}

int udp_outbox_send(struct udp_outbox *outbox, int fd)
{
    struct mmsghdr messages[UDP_PIECES];
    struct sockaddr_storage peers[UDP_PIECES];
    union control controls[UDP_PIECES];
    for (unsigned i = 0; i < outbox->pieces; i++) {
        const struct udp_outbox_piece *piece = &outbox->piece[i];
        socklen_t len = address_sockaddr(&piece->path->peer, outbox->family, &peers[i]);
        messages[i].msg_hdr = (struct msghdr){.msg_iov = outbox->datagram + piece->first,
                                              .msg_iovlen = piece->count,
                                              .msg_name = &peers[i],
                                              .msg_namelen = len};
        memset(&controls[i], 0, sizeof(controls[i]));
        if (piece->count > 1) {
            tell_where_to_cut(&messages[i].msg_hdr, &controls[i], piece->each);
        }
        if (!address_is_any(&piece->path->here)) {
            tell_from_where(&messages[i].msg_hdr, &controls[i], outbox->family, &piece->path->here);
        }
    }
    int sent = sendmmsg(fd, messages, outbox->pieces, MSG_NOSIGNAL);
    int datagrams = sent > 0 ? 0 : -1;
    for (int i = 0; i < sent; i++) {
        datagrams += (int)outbox->piece[i].count;
    }
    return datagrams;
}
