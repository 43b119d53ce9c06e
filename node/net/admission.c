/* SPDX-License-Identifier: MIT */
#include "node/net/admission.h"
#include "store/base/check.h"

#include <stdlib.h>

/* How many connections one source has. */
struct peer_count {
    struct map_node node;
    struct address_source source;
    uint32_t count;
};

static struct peer_count *find_peer(const struct admission *admission, const struct address *peer)
{
    struct address_source source = address_source(peer);
    struct map_node *node = map_find(&admission->addresses, span_of(&source, sizeof(source)));
    return node != NULL ? MAP_ENTRY(node, struct peer_count, node) : NULL;
}

/* Proxies come for many. */
static bool counts(const struct admission *admission, const struct address *peer)
{
    const struct cidr_list *trusted = admission->limits.trusted;
    return admission->limits.per_address > 0 && (trusted == NULL || !cidr_list_has(trusted, peer));
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
    const struct peer_count *from = find_peer(admission, peer);
    return from != NULL && from->count >= admission->limits.per_address && counts(admission, peer);
}

bool admission_allows(const struct admission *admission, const struct address *peer)
{
    return !admission_is_full(admission) && !admission_is_crowded(admission, peer);
}

void admission_add(struct admission *admission, const struct address *peer)
{
    admission->count++;
    if (!counts(admission, peer)) {
        return;
    }
    struct peer_count *from = find_peer(admission, peer);
    if (from == NULL) {
        from = mem_zalloc(sizeof(*from));
        from->source = address_source(peer);
        map_insert(&admission->addresses, &from->node,
                   span_of(&from->source, sizeof(from->source)));
    }
    from->count++;
}

void admission_remove(struct admission *admission, const struct address *peer)
{
    CHECK(admission->count > 0);
    admission->count--;
    struct peer_count *from = counts(admission, peer) ? find_peer(admission, peer) : NULL;
    if (from != NULL && --from->count == 0) {
        map_remove(&admission->addresses, &from->node);
        free(from);
    }
}
