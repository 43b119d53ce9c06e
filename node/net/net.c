#include "node/net/net.h"

#include "node/net/conn_impl.h"
#include "node/net/udp_impl.h"

/* How many connections one IP has. */
struct peer_count {
    struct map_node node;
    unsigned char ip[16];
    uint32_t count;
};

static struct span ip_of(const struct address *peer)
{
    return span_of(peer->ip, sizeof(peer->ip));
}

static struct peer_count *find_peer(const struct net *net, const struct address *peer)
{
    struct map_node *node = map_find(&net->addresses, ip_of(peer));
    return node != NULL ? MAP_ENTRY(node, struct peer_count, node) : NULL;
}

void net_set_overloaded(struct net *net, bool overloaded)
{
    net->overloaded = overloaded;
}

static bool is_full(const struct net *net)
{
    return net->overloaded || net->count >= net->limits.connections;
}

bool net_admit(struct net *net, const struct address *peer)
{
    const struct peer_count *from = find_peer(net, peer);
    bool crowded = from != NULL && from->count >= net->limits.per_address;
    if (is_full(net) || crowded) {
        metrics_add(net->metrics, METRIC_CONNS_REFUSED, 1);
        return false;
    }
    return true;
}

void net_add(struct net *net, struct conn *conn)
{
    net->count++;
    conn->id = ++net->last_id;
    list_push_back(&net->all, &conn->all);
    metrics_add(net->metrics, METRIC_CONNS_OPENED, 1);
    metrics_set(net->metrics, METRIC_CONNS, net->count);
    if (net->limits.per_address == 0) {
        return;
    }
    struct peer_count *from = find_peer(net, &conn->peer);
    if (from == NULL) {
        from = mem_zalloc(sizeof(*from));
        memcpy(from->ip, conn->peer.ip, sizeof(from->ip));
        map_insert(&net->addresses, &from->node, span_of(from->ip, sizeof(from->ip)));
    }
    from->count++;
}

void net_remove(struct net *net, struct conn *conn)
{
    net->count--;
    list_del(&conn->all);
    metrics_set(net->metrics, METRIC_CONNS, net->count);
    struct peer_count *from = find_peer(net, &conn->peer);
    if (from != NULL && --from->count == 0) {
        map_remove(&net->addresses, &from->node);
        free(from);
    }
}

/* First what ended or was poked, since that makes sends, then one write per connection with
 * something to send. What these in turn leave behind waits for the next turn, which comes without
 * waiting. */
static void on_turn_end(void *arg)
{
    struct net *net = arg;
    struct list now;
    list_init(&now);
    list_splice(&now, &net->todo);
    while (!list_empty(&now)) {
        struct conn *conn = LIST_ITEM(now.next, struct conn, todo);
        list_del(&conn->todo);
        conn_do_todo(conn);
    }
    list_splice(&now, &net->dirty);
    while (!list_empty(&now)) {
        struct conn *conn = LIST_ITEM(now.next, struct conn, dirty);
        list_del(&conn->dirty);
        conn_flush(conn);
    }
    while (!list_empty(&net->udp_dirty)) {
        udp_flush(net->udp_dirty.next);
    }
    if (!list_empty(&net->todo) || !list_empty(&net->dirty)) {
        loop_again(net->loop);
    }
}

struct net *net_new(struct loop *loop, struct wheel *wheel, struct metrics *metrics,
                    const struct net_limits *limits)
{
    struct net *net = mem_alloc(sizeof(*net));
    *net = (struct net){.loop = loop, .wheel = wheel, .metrics = metrics, .limits = *limits};
    list_init(&net->all);
    list_init(&net->todo);
    list_init(&net->dirty);
    list_init(&net->udp_dirty);
    map_init(&net->addresses);
    loop_at_turn_end(loop, on_turn_end, net);
    return net;
}

void net_free(struct net **net)
{
    if (*net == NULL) {
        return;
    }
    while (!list_empty(&(*net)->all)) {
        struct conn *conn = LIST_ITEM((*net)->all.next, struct conn, all);
        conn_end_now(conn);
        conn_do_todo(conn);
    }
    drain_free(&(*net)->drain);
    free((*net)->udp_inbox);
    outq_pool_deinit(&(*net)->pool);
    map_deinit(&(*net)->addresses);
    free(*net);
    *net = NULL;
}

uint32_t net_connections(const struct net *net, bool *full)
{
    *full = is_full(net);
    return net->count;
}

bool net_shares_ports(const struct net *net)
{
    return net->limits.share_ports;
}

uint64_t net_sends(const struct net *net)
{
    return net->sends;
}

struct loop *net_loop(const struct net *net)
{
    return net->loop;
}

struct wheel *net_wheel(const struct net *net)
{
    return net->wheel;
}

struct metrics *net_metrics(const struct net *net)
{
    return net->metrics;
}
