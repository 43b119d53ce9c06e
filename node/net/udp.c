#include "node/net/udp.h"

#include "node/net/conn_impl.h"
#include "node/net/udp_impl.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BATCH = 64,           /* datagrams per system call */
    SLOT = 64 * 1024,     /* room for the largest datagram */
    WRITES_PER_TURN = 16, /* of BATCH datagrams; then others have their turn */
    QUEUE_MOST = 8192,    /* datagrams */
    QUEUE_BYTES = 8 * 1024 * 1024,
    KERNEL_BUFFER = 4 * 1024 * 1024, /* asked for; the system may give less */
};

/* Where all sockets of a net receive, one after the other. Of the 4 MiB only pages that datagrams
 * ever reached are real. */
struct udp_inbox {
    struct mmsghdr messages[BATCH];
    struct iovec iov[BATCH];
    struct sockaddr_storage peers[BATCH];
    char bytes[BATCH][SLOT];
};

struct datagram {
    struct chunk *chunk;
    struct address peer;
};

struct udp {
    struct list dirty; /* of the net: has a queue to write when the turn ends */
    struct net *net;
    struct event *event;
    struct address address;
    int fd, family;
    udp_fn *fn;
    void *arg;
    struct datagram *ring; /* NULL while empty */
    uint32_t mask, head, count;
    size_t bytes;
    bool blocked; /* the kernel took no more: waiting for EV_WRITE */
    bool receiving, closed;
};

/* ------------------------------------------------------------------------------------ queue */

static struct datagram *slot(const struct udp *udp, uint32_t i)
{
    return &udp->ring[(udp->head + i) & udp->mask];
}

static void grow(struct udp *udp)
{
    uint32_t size = udp->ring != NULL ? (udp->mask + 1) * 2 : BATCH;
    struct datagram *ring = mem_alloc(size * sizeof *ring);
    for (uint32_t i = 0; i < udp->count; i++) {
        ring[i] = *slot(udp, i);
    }
    free(udp->ring);
    udp->ring = ring;
    udp->mask = size - 1;
    udp->head = 0;
}

/* `count` datagrams from the front are through, written or not. */
static void shift(struct udp *udp, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        udp->bytes -= slot(udp, i)->chunk->len;
        chunk_unref(slot(udp, i)->chunk);
    }
    udp->head += count;
    udp->count -= count;
    if (udp->count == 0) {
        free(udp->ring);
        udp->ring = NULL;
        udp->mask = udp->head = 0;
    }
}

static void drop_first(struct udp *udp)
{
    metric_add(udp->net->metrics, METRIC_UDP_DROPPED, 1);
    shift(udp, 1);
}

/* ------------------------------------------------------------------------------------ writing */

/* One system call. false: the kernel takes no more for now. */
static bool write_some(struct udp *udp)
{
    struct mmsghdr messages[BATCH] = {0};
    struct iovec iov[BATCH];
    struct sockaddr_storage peers[BATCH];
    uint32_t count = udp->count < BATCH ? udp->count : BATCH;
    for (uint32_t i = 0; i < count; i++) {
        const struct datagram *datagram = slot(udp, i);
        iov[i] = (struct iovec){datagram->chunk->data, datagram->chunk->len};
        messages[i].msg_hdr.msg_iov = &iov[i];
        messages[i].msg_hdr.msg_iovlen = 1;
        messages[i].msg_hdr.msg_name = &peers[i];
        messages[i].msg_hdr.msg_namelen = address_sockaddr(&datagram->peer, udp->family, &peers[i]);
    }
    int sent = sendmmsg(udp->fd, messages, count, MSG_NOSIGNAL);
    metric_add(udp->net->metrics, METRIC_WRITES, 1);
    if (sent > 0) {
        metric_add(udp->net->metrics, METRIC_UDP_OUT, (uint64_t)sent);
        shift(udp, (uint32_t)sent);
    } else if (errno == EAGAIN || errno == ENOBUFS) {
        return false;
    } else if (errno != EINTR) {
        drop_first(udp); /* no route, forbidden, too large for the path: only this one */
    }
    return true;
}

static void on_event(evutil_socket_t fd, short what, void *arg);

static void wait_for_events(struct udp *udp, bool blocked)
{
    if (udp->blocked != blocked) {
        udp->blocked = blocked;
        event_del(udp->event);
        event_assign(udp->event, loop_base(udp->net->loop), udp->fd,
                     (short)(EV_READ | EV_PERSIST | (blocked ? EV_WRITE : 0)), on_event, udp);
        event_add(udp->event, NULL);
    }
}

void udp_flush(struct list *dirty)
{
    struct udp *udp = LIST_ITEM(dirty, struct udp, dirty);
    bool taken = true;
    list_del(&udp->dirty);
    for (int i = 0; i < WRITES_PER_TURN && taken && udp->count > 0; i++) {
        taken = write_some(udp);
    }
    wait_for_events(udp, udp->count > 0);
}

int udp_send(struct udp *udp, const struct address *peer, struct chunk *chunk)
{
    bool fits = chunk->len <= UDP_LARGEST && udp->count < QUEUE_MOST &&
                udp->bytes + chunk->len <= QUEUE_BYTES;
    if (!fits || (udp->family == AF_INET && !address_is_ipv4(peer))) {
        metric_add(udp->net->metrics, METRIC_UDP_DROPPED, 1);
        return -1;
    }
    if (udp->ring == NULL || udp->count > udp->mask) {
        grow(udp);
    }
    *slot(udp, udp->count++) = (struct datagram){chunk_ref(chunk), *peer};
    udp->bytes += chunk->len;
    if (!udp->blocked && list_empty(&udp->dirty)) {
        list_push_back(&udp->net->udp_dirty, &udp->dirty);
        loop_again(udp->net->loop);
    }
    return 0;
}

/* ------------------------------------------------------------------------------------ reading */

static struct udp_inbox *inbox_of(struct net *net)
{
    if (net->udp_inbox == NULL) {
        struct udp_inbox *inbox = mem_alloc(sizeof *inbox);
        for (int i = 0; i < BATCH; i++) {
            inbox->iov[i] = (struct iovec){inbox->bytes[i], SLOT};
        }
        net->udp_inbox = inbox;
    }
    return net->udp_inbox;
}

static void free_all(struct udp *udp)
{
    shift(udp, udp->count);
    free(udp);
}

static void deliver(struct udp *udp, struct udp_inbox *inbox, int count)
{
    udp->receiving = true;
    for (int i = 0; i < count && !udp->closed; i++) {
        struct address peer = address_of((struct sockaddr *)&inbox->peers[i]);
        udp->fn(udp->arg, &peer, span_of(inbox->bytes[i], inbox->messages[i].msg_len));
    }
    udp->receiving = false;
    if (udp->closed) {
        free_all(udp);
    }
}

/* One batch per turn: level-triggered events bring the rest, after the others' turn. */
static void read_some(struct udp *udp)
{
    struct udp_inbox *inbox = inbox_of(udp->net);
    for (int i = 0; i < BATCH; i++) {
        inbox->messages[i].msg_hdr = (struct msghdr){.msg_iov = &inbox->iov[i],
                                                     .msg_iovlen = 1,
                                                     .msg_name = &inbox->peers[i],
                                                     .msg_namelen = sizeof inbox->peers[i]};
    }
    int count = recvmmsg(udp->fd, inbox->messages, BATCH, MSG_DONTWAIT, NULL);
    if (count > 0) {
        metric_add(udp->net->metrics, METRIC_UDP_IN, (uint64_t)count);
        deliver(udp, inbox, count);
    }
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    struct udp *udp = arg;
    if ((what & EV_WRITE) != 0) {
        udp_flush(&udp->dirty);
    }
    if ((what & EV_READ) != 0) {
        read_some(udp);
    }
}

/* ------------------------------------------------------------------------------------ life */

static int open_socket(const struct address *address, int family, bool shared)
{
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    int on = 1, off = 0, buffer = KERNEL_BUFFER;
    if (shared) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    if (family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    }
    struct sockaddr_storage addr;
    socklen_t len = address_sockaddr(address, family, &addr);
    if (bind(fd, (struct sockaddr *)&addr, len) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

struct udp *udp_open(struct net *net, const char *bind, udp_fn *fn, void *arg, char *error,
                     size_t error_size)
{
    struct address address;
    int family;
    if (address_parse_bind(bind, &address, &family) != 0) {
        snprintf(error, error_size, "'%s' is no host:port with a numeric host", bind);
        return NULL;
    }
    int fd = open_socket(&address, family, net_shares_ports(net));
    if (fd < 0) {
        snprintf(error, error_size, "cannot receive UDP on %s: %s", bind, strerror(errno));
        return NULL;
    }
    struct sockaddr_storage bound;
    socklen_t len = sizeof bound;
    getsockname(fd, (struct sockaddr *)&bound, &len);
    struct udp *udp = mem_zalloc(sizeof *udp);
    *udp = (struct udp){.net = net, .fd = fd, .family = family, .fn = fn, .arg = arg};
    udp->address = address_of((struct sockaddr *)&bound);
    list_init(&udp->dirty);
    udp->event = event_new(loop_base(net->loop), fd, EV_READ | EV_PERSIST, on_event, udp);
    event_add(udp->event, NULL);
    return udp;
}

const struct address *udp_address(const struct udp *udp)
{
    return &udp->address;
}

void udp_close(struct udp **udp)
{
    struct udp *gone = *udp;
    if (gone == NULL) {
        return;
    }
    *udp = NULL;
    while (gone->count > 0 && write_some(gone)) {
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
