/* SPDX-License-Identifier: MIT */
#include "node/service/relay/upstream.h"

#include "node/core/log.h"
#include "node/net/net.h"
#include "node/net/work.h"
#include "node/proto/json/stream.h"
#include "node/service/relay/packet.h"
#include "store/base/backoff.h"
#include "store/base/decimal.h"
#include "store/base/timer.h"
#include "store/resolver/resolver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    UPSTREAM_FIRST_MS = 1000,
    UPSTREAM_MOST_MS = 30 * 1000,
    UPSTREAM_LINKS_MOST = 1000,
    CONNECTS_PER_TURN = 16,
    ENDS_PER_STEP = 16,
    CONNECTING_US = 500, /* of a turn, until no more are connected in it */
};

/* One client that stands for a server of the other side. */
struct up_link {
    struct list entry;   /* of its side */
    struct list waiting; /* to be connected, or, when it is, to hear its identifier */
    struct map_node by_origin, by_id;
    struct up_side *side;
    struct conn *conn; /* NULL: not connected yet */
    struct relay_paced out;
    struct json_stream in;
    struct buf look;
    uint64_t origin, players; /* its identifier there */
    uint64_t id;              /* its identifier here, 0: not known yet */
    bool over;
};

struct up_side {
    struct relay_upstream *up;
    struct up_side *other;
    struct list links;   /* the hearing one first */
    struct list leaving; /* those that were ended when the host was lost, and are not closed yet */
    struct list unnamed; /* those that are connected and do not know their identifiers here */
    struct map by_origin, by_id; /* those that are not over */
    struct up_link *ear;         /* stands for the other side's host, and hears; NULL: none */
    bool open;                   /* the ear was welcomed */
    bool own;                    /* our network */
};

struct relay_upstream {
    struct relay_terms *terms;
    struct relay_network *network;
    struct relay_upstream_entry entry;
    struct up_side old, own;
    struct sockaddr_storage address;
    socklen_t address_len;
    struct resolver *resolver;
    struct resolver_query *query;
    struct event *retry;
    struct list unconnected; /* links of both sides, in the order in which they came */
    struct event *connects;  /* pending while there are any */
    struct net_work ends;    /* ends the links of a host that was lost */
    struct backoff backoff;
    unsigned tries;
    uint32_t count; /* links */
    bool stopped;
};

/* ------------------------------------------------------------------------------------ settings */

bool relay_upstream_next(struct span *rest, struct relay_upstream_entry *entry)
{
    uint64_t port;
    struct span text = span_trim(span_cut(rest, ',')), host = text, name = span_cut(&host, '=');
    if (host.ptr == NULL) {
        host = text;
        name = span_of(NULL, 0);
    }
    const char *colon = host.len > 0 ? memrchr(host.ptr, ':', host.len) : NULL;
    if (colon == NULL) {
        return false;
    }
    size_t len = (size_t)(colon - host.ptr);
    bool bracketed = len > 2 && host.ptr[0] == '[' && host.ptr[len - 1] == ']';
    struct span bare = bracketed ? span_of(host.ptr + 1, len - 2) : span_of(host.ptr, len);
    if (bare.len == 0 || bare.len >= sizeof(entry->host) ||
        !decimal_read(span_skip(host, len + 1), UINT16_MAX, &port) || port == 0) {
        return false;
    }
    memcpy(entry->host, bare.ptr, bare.len);
    entry->host[bare.len] = '\0';
    entry->network = name;
    entry->port = (uint16_t)port;
    return true;
}

int relay_upstream_check(const char *text, char *error, size_t error_size)
{
    struct span rest = span_str(text);
    while (rest.len > 0) {
        struct relay_upstream_entry entry;
        if (!relay_upstream_next(&rest, &entry)) {
            snprintf(error, error_size, "relay-upstream: '%s' is no [network=]host:port,...", text);
            return -1;
        }
    }
    return 0;
}

/* ------------------------------------------------------------------------------------ links */

/* From now on another one may take its place. */
static void link_forget(struct up_link *link)
{
    if (!link->over) {
        link->over = true;
        list_del(&link->waiting);
        map_remove(&link->side->by_origin, &link->by_origin);
        if (link->id != 0) {
            map_remove(&link->side->by_id, &link->by_id);
        }
    }
}

static void link_end(struct up_link *link)
{
    link_forget(link);
    if (link->conn != NULL) {
        conn_close(link->conn); /* freed when it is closed */
        return;
    }
    list_del(&link->entry);
    buf_free(&link->look);
    link->side->up->count--;
    free(link);
}

/* Each costs a connection: as many at once as there are servers would be a long turn. */
static bool end_some(struct net_work *work)
{
    struct relay_upstream *up = CONTAINER_OF(work, struct relay_upstream, ends);
    struct list *links = &up->old.links;
    for (int left = ENDS_PER_STEP; left > 0; left--) {
        links = list_empty(links) ? &up->own.links : links;
        if (list_empty(links)) {
            return false;
        }
        struct up_link *link = LIST_ITEM(links->next, struct up_link, entry);
        list_del(&link->entry);
        list_push_back(&link->side->leaving, &link->entry);
        link_end(link);
    }
    return true;
}

/* Nothing is heard from now on, and nobody joins. */
static void end_all(struct relay_upstream *up)
{
    up->old.open = up->own.open = false;
    up->old.ear = up->own.ear = NULL;
    event_del(up->connects);
    net_work_queue(up->terms->net, &up->ends);
}

/* Both sides begin again after a while. */
static void begin_again(struct relay_upstream *up, const char *why)
{
    if (up->old.ear == NULL && up->own.ear == NULL) {
        return;
    }
    log_warn("relay upstream lost", LOG_TEXT_FIELD("host", up->entry.host),
             LOG_TEXT_FIELD("detail", why));
    end_all(up);
    if (!up->stopped) {
        timer_after(up->retry, backoff_next(&up->backoff));
    }
}

static void link_send(struct up_link *link, struct span packet, enum relay_paced_kind kind)
{
    struct chunk *chunk = chunk_copy(packet);
    relay_paced_send(&link->out, chunk, (struct relay_paced_mark){.topic = 0, .kind = kind});
    chunk_unref(chunk);
}

static void on_packet(struct up_link *link, struct span packet);

static size_t on_data(void *arg, struct span bytes)
{
    struct up_link *link = arg;
    struct span rest = bytes;
    while (rest.len > 0 && !link->over) {
        struct span packet;
        int rc = json_stream_next(&link->in, &rest, &packet);
        if (rc > 0) {
            on_packet(link, packet);
        } else if (rc < 0) {
            link_end(link);
        }
    }
    return bytes.len;
}

static void on_poked(void *arg)
{
    struct up_link *link = arg;
    if (relay_paced_is_cut(&link->out)) {
        conn_close(link->conn);
    }
}

static void on_drained(void *arg)
{
    struct up_link *link = arg;
    relay_paced_wrote(&link->out);
}

static void on_drain(void *arg)
{
    struct up_link *link = arg;
    relay_upstream_stop(link->side->up);
}

static void on_closed(void *arg, enum conn_end how)
{
    struct up_link *link = arg;
    struct up_side *side = link->side;
    (void)how;
    if (side->ear == link) {
        begin_again(side->up, side->own ? "our own side" : "closed");
    }
    link_forget(link);
    relay_paced_deinit(&link->out);
    json_stream_deinit(&link->in);
    list_del(&link->entry);
    buf_free(&link->look);
    side->up->count--;
    free(link);
}

static const struct conn_handler handler = {.data = on_data,
                                            .drained = on_drained,
                                            .poked = on_poked,
                                            .drain = on_drain,
                                            .closed = on_closed};

/* A connected or connecting socket, or -1. Ours goes to the network as one that was accepted. */
static int open_socket(const struct up_side *side, struct address *peer)
{
    struct relay_upstream *up = side->up;
    *peer = address_of((const struct sockaddr *)&up->address);
    if (side->own) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) {
            return -1;
        }
        relay_client_accept(up->terms, up->network, pair[1], &(struct address){0});
        return pair[0];
    }
    int fd = socket(up->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&up->address, up->address_len) != 0 &&
        errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    return fd;
}

static void link_connect(struct up_link *link)
{
    struct relay_terms *terms = link->side->up->terms;
    struct address peer;
    struct buf hello = {0};
    int fd = open_socket(link->side, &peer);
    if (fd < 0) {
        return;
    }
    list_push_back(&link->side->unnamed, &link->waiting);
    json_stream_init(&link->in, (size_t)1024 * 1024); /* a host's directory may be long */
    link->conn = conn_new(terms->net, fd, &peer, &handler, link);
    relay_paced_init(&link->out, terms->pacer, link->conn);
    if (link->side->own) {
        relay_paced_let_go(&link->out);
    }
    struct span secret = link->side->own ? span_str(terms->secret) : span_of(NULL, 0);
    relay_print_handshake(buf_span(&link->look), link->players, secret, link->side->own, &hello);
    link_send(link, buf_span(&hello), PACED_BEGIN);
    buf_free(&hello);
}

/* Each costs a socket and a handshake: as many at once as an old host has servers would be a long turn. */
static void on_connects(evutil_socket_t fd, short what, void *arg)
{
    struct relay_upstream *up = arg;
    struct loop *loop = net_loop(up->terms->net);
    (void)fd, (void)what;
    loop_awake(loop);
    for (int i = 0; i < CONNECTS_PER_TURN && !list_empty(&up->unconnected); i++) {
        struct up_link *link = LIST_ITEM(up->unconnected.next, struct up_link, waiting);
        list_del(&link->waiting);
        link_connect(link);
        if (loop_turn_us(loop) >= CONNECTING_US) {
            break;
        }
    }
    if (!list_empty(&up->unconnected)) {
        timer_after(up->connects, 0);
    }
}

static void link_connect_soon(struct up_link *link)
{
    struct relay_upstream *up = link->side->up;
    list_del(&link->waiting);
    list_push_back(&up->unconnected, &link->waiting);
    timer_after(up->connects, 0);
}

/* New, in the side's list. NULL: there are too many. */
static struct up_link *link_new(struct up_side *side, uint64_t origin, uint64_t players,
                                struct span look)
{
    if (side->up->count == UPSTREAM_LINKS_MOST) {
        return NULL;
    }
    struct up_link *link = mem_zalloc(sizeof(*link));
    link->side = side;
    link->origin = origin;
    link->players = players;
    list_init(&link->waiting);
    buf_append(&link->look, look);
    list_push_back(&side->links, &link->entry);
    map_insert(&side->by_origin, &link->by_origin, span_of(&link->origin, sizeof(link->origin)));
    side->up->count++;
    return link;
}

/* ------------------------------------------------------------------------------------ what is heard */

static struct up_link *link_of(const struct up_side *side, uint64_t origin)
{
    struct map_node *node = map_find(&side->by_origin, span_of(&origin, sizeof(origin)));
    return node != NULL ? MAP_ENTRY(node, struct up_link, by_origin) : NULL;
}

static struct up_link *link_named(const struct up_side *side, uint64_t id)
{
    struct map_node *node = map_find(&side->by_id, span_of(&id, sizeof(id)));
    return node != NULL ? MAP_ENTRY(node, struct up_link, by_id) : NULL;
}

static void take_name(struct up_link *link)
{
    map_remove(&link->side->by_id, &link->by_id);
    link->id = 0;
}

/* Another one of the same look may have been taken for it: that one's identifier is still to come. */
static void name_link(struct up_link *link, uint64_t id)
{
    struct up_link *other = link_named(link->side, id);
    if (id == 0 || other == link) {
        return;
    }
    if (other != NULL) {
        take_name(other);
        list_push_back(&link->side->unnamed, &other->waiting);
    }
    if (link->id != 0) {
        take_name(link);
    }
    list_del(&link->waiting);
    link->id = id;
    map_insert(&link->side->by_id, &link->by_id, span_of(&link->id, sizeof(link->id)));
}

/* The server of that identifier is one of our own links, which may not know its identifier yet. */
static bool is_ours(struct up_side *side, uint64_t id, struct span look)
{
    if (link_named(side, id) != NULL || look.len == 0) {
        return link_named(side, id) != NULL;
    }
    LIST_EACH(it, &side->unnamed) {
        struct up_link *link = LIST_ITEM(it, struct up_link, waiting);
        if (span_eq(buf_span(&link->look), look)) {
            name_link(link, id);
            return true;
        }
    }
    return false;
}

/* A server is there: it gets a link on the other side. */
static void on_server(void *arg, const struct relay_server *server)
{
    struct up_side *side = arg;
    if (is_ours(side, server->id, server->look) || link_of(side->other, server->id) != NULL) {
        return;
    }
    struct up_link *link = link_new(side->other, server->id, server->players, server->look);
    if (link != NULL && side->other->open) {
        link_connect_soon(link);
    }
}

/* The old host told its identity: its ear on our side takes its look, and its identifier as origin. */
static void on_host(struct up_side *side, const struct relay_told *told)
{
    struct up_side *other = side->other;
    if (!side->own && other->ear == NULL) {
        other->ear = link_new(other, told->host, 0, told->host_look);
        if (other->ear != NULL) {
            link_connect(other->ear);
        }
    }
}

static void on_welcome(struct up_side *side, const struct relay_told *told)
{
    side->open = true;
    on_host(side, told);
    relay_told_each(told, on_server, side);
    LIST_EACH(it, &side->links) {
        struct up_link *link = LIST_ITEM(it, struct up_link, entry);
        if (link->conn == NULL) {
            link_connect_soon(link);
        }
    }
    if (side->own) {
        backoff_reset(&side->up->backoff);
        log_info("relay upstream joined", LOG_TEXT_FIELD("host", side->up->entry.host));
    }
}

static void on_saying(struct up_side *side, uint64_t id, struct span packet)
{
    struct up_link *link = is_ours(side, id, SPAN("")) ? NULL : link_of(side->other, id);
    struct buf text = {0};
    if (link != NULL && link->id != 0) {
        relay_print_saying(packet, link->id, &text);
        link_send(link, buf_span(&text), PACED_TALK);
    }
    buf_free(&text);
}

/* Only the ear listens; the others but learn who they are. */
static void on_packet(struct up_link *link, struct span packet)
{
    struct up_side *side = link->side;
    struct relay_told told = {0};
    enum relay_news news = relay_told_read(packet, &told);
    if (news == RELAY_NEWS_WELCOME && !link->over) {
        name_link(link, told.id);
    }
    if (link != side->ear) {
        news = RELAY_NEWS_ELSE;
    }
    switch (news) {
    case RELAY_NEWS_WELCOME:
        on_welcome(side, &told);
        break;
    case RELAY_NEWS_CAME:
        relay_told_each(&told, on_server, side);
        break;
    case RELAY_NEWS_WENT: {
        struct up_link *gone = link_of(side->other, told.id);
        if (gone != NULL && gone != side->other->ear) {
            link_end(gone);
        }
        break;
    }
    case RELAY_NEWS_SAYING:
        on_saying(side, told.id, packet);
        break;
    case RELAY_NEWS_ELSE:
        break;
    }
    relay_told_deinit(&told);
}

/* ------------------------------------------------------------------------------------ life */

static void on_found(void *arg, const struct addrinfo *found, const char *why)
{
    struct relay_upstream *up = arg;
    up->query = NULL;
    if (found == NULL) {
        log_warn("relay upstream: the name cannot be looked up",
                 LOG_TEXT_FIELD("host", up->entry.host), LOG_TEXT_FIELD("detail", why));
        timer_after(up->retry, backoff_next(&up->backoff));
        return;
    }
    up->address_len = resolver_pick(found, up->tries++, up->entry.port, &up->address);
    up->old.ear = link_new(&up->old, RELAY_HOST_ID, 0, up->terms->host_look);
    if (up->old.ear == NULL) { /* links of before are still ending */
        timer_after(up->retry, backoff_next(&up->backoff));
        return;
    }
    link_connect(up->old.ear);
    if (up->old.ear->conn == NULL) {
        begin_again(up, "no connection");
    }
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    struct relay_upstream *up = arg;
    (void)fd, (void)what;
    if (up->count > 0) {
        timer_after(up->retry, UPSTREAM_FIRST_MS); /* some still take leave */
    } else if (up->query == NULL) {
        up->query = resolver_ask(up->resolver, up->entry.host, on_found, up);
    }
}

static void side_init(struct up_side *side, struct relay_upstream *up, bool own)
{
    side->up = up;
    side->own = own;
    side->other = own ? &up->old : &up->own;
    list_init(&side->links);
    list_init(&side->leaving);
    list_init(&side->unnamed);
    map_init(&side->by_origin);
    map_init(&side->by_id);
}

struct relay_upstream *relay_upstream_new(struct relay_terms *terms, struct relay_network *network,
                                          const struct relay_upstream_entry *entry)
{
    struct event_base *base = loop_base(net_loop(terms->net));
    struct relay_upstream *up = mem_zalloc(sizeof(*up));
    up->terms = terms;
    up->network = network;
    up->entry = *entry;
    side_init(&up->old, up, false);
    side_init(&up->own, up, true);
    up->backoff = (struct backoff){.first_ms = UPSTREAM_FIRST_MS, .most_ms = UPSTREAM_MOST_MS};
    up->resolver = resolver_new(base);
    list_init(&up->unconnected);
    up->retry = evtimer_new(base, on_retry, up);
    up->connects = evtimer_new(base, on_connects, up);
    net_work_init(&up->ends, end_some);
    timer_after(up->retry, 0);
    return up;
}

void relay_upstream_stop(struct relay_upstream *up)
{
    up->stopped = true;
    event_del(up->retry);
    resolver_cancel(&up->query);
    end_all(up);
}

void relay_upstream_free(struct relay_upstream **upstream)
{
    struct relay_upstream *gone = *upstream;
    if (gone == NULL) {
        return;
    }
    *upstream = NULL;
    net_work_cancel(&gone->ends);
    while (end_some(&gone->ends)) {
    } /* those that never had a connection */
    resolver_cancel(&gone->query);
    resolver_free(&gone->resolver);
    event_free(gone->retry);
    event_free(gone->connects);
    map_deinit(&gone->old.by_origin);
    map_deinit(&gone->old.by_id);
    map_deinit(&gone->own.by_origin);
    map_deinit(&gone->own.by_id);
    free(gone);
}
