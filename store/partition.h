/* SPDX-License-Identifier: MIT */
/* partition: a name belongs to one of 256 parts of all that a fleet shares, the same on every node
 * and in every release; a server has whole partitions. The tag of a partition stands in each of its
 * keys and channels between the braces by which Redis Cluster chooses a slot, so all of them are in
 * one slot, and the slots of all partitions are spread evenly.
 *
 *     key  <prefix>:{<tag>}:<kind>:<name>       the first braces of it: a prefix has none */
#ifndef MUSTER_STORE_PARTITION_H
#define MUSTER_STORE_PARTITION_H

#include "store/base/buf.h"

#include <stdint.h>

enum {
    PARTITIONS = 256,
    CLUSTER_SLOTS = 16384,
    PARTITION_SLOTS = CLUSTER_SLOTS / PARTITIONS,
};

/* The partition of a key or topic. */
unsigned partition_of(struct span name);

/* Borrowed for ever. */
const char *partition_tag(unsigned partition);

/* The slot of Redis Cluster in which its keys are. */
unsigned partition_slot(unsigned partition);

/* The partition of which `slot` may be, and no other. */
static inline unsigned partition_near(unsigned slot)
{
    return slot / PARTITION_SLOTS % PARTITIONS;
}

/* Whose tag stands in a key or channel; -1: no partition's. */
int partition_of_key(struct span key);

/* Whose tag that is; -1: nobody's. */
int partition_of_tag(struct span tag);

/* The partition by which a channel's server is found; -1: none. A node's inbox is one of a server. */
int partition_of_channel(struct span channel);

/* Appends the whole key. */
void partition_key(struct buf *out, const char *prefix, const char *kind, struct span name);

/* How much `server` (any name that all nodes give it) is wanted for a partition: of a list of
 * servers the one with the greatest weight has it. So a server that joins or leaves a list of n
 * moves one partition in n, and no other. */
uint64_t partition_weight(unsigned partition, struct span server);

#endif
