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

/* Collects the connections whose sockets take no more: new, *count of them; NULL: none. */
static struct candidate *find_candidates(struct net *net, size_t *count)
{
    struct candidate *found = NULL;
    size_t room = 0;
    *count = 0;
    for (struct list *it = net->blocked.next; it != &net->blocked; it = it->next) {
        struct conn *conn = LIST_ITEM(it, struct conn, dirty);
        size_t bytes = conn_unacked(conn);
        if (bytes < LEAST_QUEUE) {
            continue;
        }
        if (*count == room) {
            room = room > 0 ? room * 2 : 64;
            found = mem_realloc(found, room * sizeof(*found));
        }
        found[(*count)++] = (struct candidate){.conn = conn, .bytes = bytes};
    }
    return found;
}

unsigned net_relieve(struct net *net, uint64_t bytes)
{
    size_t count;
    struct candidate *found = find_candidates(net, &count);
    unsigned closed = 0;
    if (found == NULL) {
        return 0;
    }
    qsort(found, count, sizeof(*found), compare_largest_first);
    for (uint64_t freed = 0; closed < count && freed < bytes; closed++) {
        freed += found[closed].bytes;
        conn_relieve(found[closed].conn);
    }
    free(found);
    metrics_add(net->metrics, METRIC_MEMORY_CLOSED, closed);
    return closed;
}
