/* SPDX-License-Identifier: MIT */
/* What is given up when memory is short: net_relieve (net.h). */
#include "node/net/base.h"
#include "node/net/conn_impl.h"
#include "node/net/net.h"
#include "store/base/mem.h"

#include <stdlib.h>

/* Below this a queue is not worth a client. */
enum { LEAST_QUEUE = 16 * 1024 };

struct candidate {
    struct conn *conn;
    size_t bytes; /* that its peer has not read, the kernel's part included */
};

static int compare_largest_first(const void *a, const void *b)
{
    const struct candidate *one = a, *other = b;
    return (one->bytes < other->bytes) - (one->bytes > other->bytes);
}

/* Collects the connections whose sockets take no more; `found` has room for all. */
static size_t find_candidates(struct net *net, struct candidate *found)
{
    size_t count = 0;
    LIST_EACH(it, &net->all) {
        struct conn *conn = LIST_ITEM(it, struct conn, all);
        if (conn->state != CONN_DEAD && conn_queued(conn) > 0) {
            size_t bytes = conn_unacked(conn);
            found[count] = (struct candidate){.conn = conn, .bytes = bytes};
            count += bytes >= LEAST_QUEUE ? 1 : 0;
        }
    }
    return count;
}

unsigned net_relieve(struct net *net, uint64_t bytes)
{
    if (net->admission.count == 0) {
        return 0;
    }
    struct candidate *found = mem_alloc((net->admission.count + 1) * sizeof(*found));
    size_t count = find_candidates(net, found);
    unsigned closed = 0;
    qsort(found, count, sizeof(*found), compare_largest_first);
    for (uint64_t freed = 0; closed < count && freed < bytes; closed++) {
        freed += found[closed].bytes;
        conn_relieve(found[closed].conn);
    }
    free(found);
    metrics_add(net->metrics, METRIC_MEMORY_CLOSED, closed);
    return closed;
}
