/* SPDX-License-Identifier: MIT */
#include "node/net/udp.h"

#include "node/net/base.h"
#include "node/net/bound.h"
#include "node/net/inherited.h"
#include "node/net/udp_impl.h"
#include "node/net/udp_wire.h"
#include "store/base/ring.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    FIRST_QUEUE = 64,         /* datagrams; a power of two */
    UDP_WRITES_PER_TURN = 16, /* system calls; then others have their turn */
    UDP_QUEUE_MOST = 8192,    /* datagrams */
    UDP_QUEUE_BYTES = 8 * 1024 * 1024,
    KERNEL_BUFFER = 4 * 1024 * 1024, /* asked for; the system may give less */
};

struct datagram {
    struct chunk *chunk;
    struct udp_path path;
};

struct udp {
    struct list dirty; /* of the net: has a queue to write when the turn ends */
    struct net *net;
    struct event *event;
    struct address address;
    int fd, family;
    udp_fn *fn;
    void *arg;
    struct ring queue; /* of struct datagram; without memory while empty */
    size_t bytes;
    bool everywhere; /* it has no address of its own: each datagram tells to which it came */
    bool joins;      /* the kernel cuts what we join */
    bool blocked;    /* the kernel took no more: waiting for EV_WRITE */
    bool receiving, closed;
};

/* ------------------------------------------------------------------------------------ queue */

static struct datagram *datagram_at(const struct udp *udp, uint32_t i)
{
    return ring_at(&udp->queue, i, sizeof(struct datagram));
}

/* Removes `count` datagrams from the front: they are done, written or not. */
static void shift(struct udp *udp, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct chunk *chunk = datagram_at(udp, i)->chunk;
        udp->bytes -= chunk->len;
        chunk_unref(chunk);
    }
    ring_shift(&udp->queue, count);
    if (udp->queue.count == 0) {
        ring_free(&udp->queue);
    }
}

static void drop(struct udp *udp, uint32_t count)
{
    metrics_add(udp->net->metrics, METRIC_UDP_DROPPED, count);
    shift(udp, count);
}

/* ------------------------------------------------------------------------------------ writing */

/* This host may have no such address any more. False: they named none. */
static bool lose_source(struct udp *udp, unsigned count)
{
    bool named = false;
    for (uint32_t i = 0; i < count; i++) {
        struct address *here = &datagram_at(udp, i)->path.here;
        named = named || !address_is_any(here);
        *here = (struct address){0};
    }
    return named;
}

/* What could not be sent, `count` datagrams to one peer: there is no route, it is forbidden, they
 * are too large for the path. Only these are lost. */
static void give_up(struct udp *udp, unsigned count, int error)
{
    if (lose_source(udp, count)) {
        return; /* tried again */
    }
    bool cannot_cut = error == EIO || error == EINVAL || error == EMSGSIZE;
    if (count > 1 && cannot_cut) {
        udp->joins = false; /* the way out may take them one by one */
    } else {
        drop(udp, count);
    }
}

/* One system call. false: the kernel takes no more for now. */
static bool write_some(struct udp *udp)
{
    struct udp_outbox outbox;
    udp_outbox_init(&outbox, udp->family, udp->joins);
    for (uint32_t i = 0; i < udp->queue.count; i++) {
        const struct datagram *datagram = datagram_at(udp, i);
        if (!udp_outbox_add(&outbox, &datagram->path, datagram->chunk)) {
            break;
        }
    }
    int sent = udp_outbox_send(&outbox, udp->fd);
    metrics_add(udp->net->metrics, METRIC_WRITES, 1);
    if (sent > 0) {
        metrics_add(udp->net->metrics, METRIC_UDP_OUT, (uint64_t)sent);
        shift(udp, (uint32_t)sent);
    } else if (errno == EAGAIN || errno == ENOBUFS) {
        return false;
    } else if (errno != EINTR) {
        give_up(udp, outbox.piece[0].count, errno);
    }
    return true;
}

static void on_event(evutil_socket_t fd, short what, void *arg);

static short events_of(const struct udp *udp)
{
    return (short)(EV_PERSIST | (udp->net->handed_over ? 0 : EV_READ) |
                   (udp->blocked ? EV_WRITE : 0));
}

static void wait_for_events(struct udp *udp, bool blocked)
{
    if (udp->blocked != blocked) {
        udp->blocked = blocked;
        event_del(udp->event);
        event_assign(udp->event, loop_base(udp->net->loop), udp->fd, events_of(udp), on_event, udp);
        if (events_of(udp) != EV_PERSIST) {
            event_add(udp->event, NULL);
        }
    }
}

static void stop_reading(struct udp *udp)
{
    bool blocked = udp->blocked;
    udp->blocked = !blocked; /* so that the events are set again */
    wait_for_events(udp, blocked);
}

void udp_flush(struct list *dirty)
{
    struct udp *udp = LIST_ITEM(dirty, struct udp, dirty);
    bool taken = true;
    list_del(&udp->dirty);
    for (int i = 0; i < UDP_WRITES_PER_TURN && taken && udp->queue.count > 0; i++) {
        taken = write_some(udp);
    }
    wait_for_events(udp, udp->queue.count > 0);
}

/* Only a socket on all addresses has to be told which. */
static struct udp_path path_from(const struct udp *udp, const struct udp_path *path)
{
    struct udp_path out = {.peer = path->peer};
    bool fits = address_is_ipv4(&path->here) == address_is_ipv4(&path->peer);
    if (udp->everywhere && fits) {
        out.here = path->here;
    }
    return out;
}

int udp_send(struct udp *udp, const struct udp_path *path, struct chunk *chunk)
{
    bool fits = chunk->len <= UDP_LARGEST && udp->queue.count < UDP_QUEUE_MOST &&
                udp->bytes + chunk->len <= UDP_QUEUE_BYTES;
    if (!fits || (udp->family == AF_INET && !address_is_ipv4(&path->peer))) {
        metrics_add(udp->net->metrics, METRIC_UDP_DROPPED, 1);
        return -1;
    }
    struct datagram *datagram = ring_push(&udp->queue, FIRST_QUEUE, sizeof(*datagram));
    *datagram = (struct datagram){chunk_ref(chunk), path_from(udp, path)};
    udp->bytes += chunk->len;
    if (!udp->blocked && list_empty(&udp->dirty)) {
        list_push_back(&udp->net->udp_dirty, &udp->dirty);
        loop_again(udp->net->loop);
    }
    return 0;
}

/* ------------------------------------------------------------------------------------ reading */

static void free_all(struct udp *udp)
{
    shift(udp, udp->queue.count);
    free(udp);
}

static void deliver_piece(struct udp *udp, const struct udp_piece *piece)
{
    struct span left = piece->bytes;
    struct udp_path path = piece->path;
    if (!udp->everywhere) {
        path.here = udp->address;
    }
    path.here.port = udp->address.port;
    do {
        size_t len = left.len < piece->each ? left.len : piece->each;
        metrics_add(udp->net->metrics, METRIC_UDP_IN, 1);
        udp->fn(udp->arg, &path, span_of(left.ptr, len));
        left = span_of(left.ptr + len, left.len - len);
    } while (left.len > 0 && !udp->closed);
}

/* One system call per turn: level-triggered events bring the rest, after the others' turn. */
static void read_some(struct udp *udp)
{
    if (udp->net->udp_inbox == NULL) {
        udp->net->udp_inbox = udp_inbox_new();
    }
    struct udp_inbox *inbox = udp->net->udp_inbox;
    unsigned count = udp_inbox_read(udp->net->udp_inbox, udp->fd);
    udp->receiving = true;
    for (unsigned i = 0; i < count && !udp->closed; i++) {
        struct udp_piece piece = udp_inbox_piece(inbox, i);
        deliver_piece(udp, &piece);
    }
    udp->receiving = false;
    if (udp->closed) {
        free_all(udp);
    }
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    struct udp *udp = arg;
    loop_awake(udp->net->loop);
    if ((what & EV_WRITE) != 0) {
        udp_flush(&udp->dirty);
    }
    if ((what & EV_READ) != 0 && udp->net->handed_over) {
        stop_reading(udp); /* datagrams are the successor's */
    } else if ((what & EV_READ) != 0) {
        read_some(udp);
    }
}

/* ------------------------------------------------------------------------------------ life */

/* A socket, or -1 with a message. */
static int open_bound(const char *bind, bool shared, int *family, char *error, size_t error_size)
{
    int fd = bound_open(bind, SOCK_DGRAM, shared, family), buffer = KERNEL_BUFFER;
    if (fd < 0) {
        bound_error("cannot receive UDP on", bind, error, error_size);
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
    return fd;
}

int udp_probe(const char *bind, char *error, size_t error_size)
{
    if (bound_is_given(bind, SOCK_DGRAM)) {
        return 0;
    }
    int family, fd = open_bound(bind, false, &family, error, error_size);
    if (fd < 0) {
        return -1;
    }
    close(fd);
    return 0;
}

struct udp *udp_open(struct net *net, const char *bind, udp_fn *fn, void *arg, char *error,
                     size_t error_size)
{
    int family,
        fd = open_bound(bind, net->admission.limits.share_ports, &family, error, error_size);
    if (fd < 0) {
        return NULL;
    }
    struct sockaddr_storage bound;
    socklen_t len = sizeof(bound);
    getsockname(fd, (struct sockaddr *)&bound, &len);
    struct udp *udp = mem_zalloc(sizeof(*udp));
    *udp = (struct udp){.net = net, .fd = fd, .family = family, .fn = fn, .arg = arg};
    udp->address = address_of((struct sockaddr *)&bound);
    udp->everywhere = address_is_any(&udp->address);
    udp->joins = udp_wire_prepare(fd, family, udp->everywhere);
    list_init(&udp->dirty);
    udp->event = event_new(loop_base(net->loop), fd, EV_READ | EV_PERSIST, on_event, udp);
    event_add(udp->event, NULL);
    return udp;
}

const struct address *udp_address(const struct udp *udp)
{
    return &udp->address;
}

void udp_park(struct udp **udp)
{
    if (*udp != NULL) {
        inherited_park((*udp)->fd);
    }
    udp_close(udp);
}

void udp_close(struct udp **udp)
{
    struct udp *gone = *udp;
    if (gone == NULL) {
        return;
    }
    *udp = NULL;
    while (gone->queue.count > 0 && write_some(gone)) {
    }
    list_del(&gone->dirty);
    event_free(gone->event);
    close(gone->fd);
    if (gone->receiving) {
        gone->closed = true; /* freed when its own callback has returned */
    } else {
        free_all(gone);
    }
}
