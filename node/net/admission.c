/* SPDX-License-Identifier: MIT */
#include "node/net/admission.h"
#include "store/base/check.h"

#include <stdlib.h>

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

static struct peer_count *find_peer(const struct admission *admission, const struct address *peer)
{
    struct map_node *node = map_find(&admission->addresses, ip_of(peer));
    return node != NULL ? MAP_ENTRY(node, struct peer_count, node) : NULL;
}

void admission_init(struct admission *admission, const struct net_limits *limits)
{
    *admission = (struct admission){.limits = *limits};
    map_init(&admission->addresses);
}

void admission_deinit(struct admission *admission)
{
    map_deinit(&admission->addresses);
}

bool admission_is_full(const struct admission *admission)
{
    return admission->overloaded || admission->count >= admission->limits.connections;
}

bool admission_allows_watcher(const struct admission *admission)
{
    uint64_t most = (uint64_t)admission->limits.connections + ADMISSION_WATCHERS;
    return admission->count < most;
}

bool admission_is_crowded(const struct admission *admission, const struct address *peer)
{
    const struct cidr_list *trusted = admission->limits.trusted;
    const struct peer_count *from = find_peer(admission, peer);
    return from != NULL && from->count >= admission->limits.per_address &&
           (trusted == NULL || !cidr_list_has(trusted, peer));
}

bool admission_allows(const struct admission *admission, const struct address *peer)
{
    return !admission_is_full(admission) && !admission_is_crowded(admission, peer);
}

void admission_add(struct admission *admission, const struct address *peer)
{
    admission->count++;
    if (admission->limits.per_address == 0) {
        return;
    }
    struct peer_count *from = find_peer(admission, peer);
    if (from == NULL) {
        from = mem_zalloc(sizeof(*from));
        memcpy(from->ip, peer->ip, sizeof(from->ip));
        map_insert(&admission->addresses, &from->node, span_of(from->ip, sizeof(from->ip)));
    }
    from->count++;
}

void admission_remove(struct admission *admission, const struct address *peer)
{
    CHECK(admission->count > 0);
    admission->count--;
    struct peer_count *from = find_peer(admission, peer);
    if (from != NULL && --from->count == 0) {
        map_remove(&admission->addresses, &from->node);
        free(from);
    }
}
