/* SPDX-License-Identifier: MIT */
/* logs batch: the entries of a request as the stream keeps them: one object each, the room first,
 * what has a usual name under ours (words.h), with the room's name as its tag. An entry that is too
 * large costs no other: it is left out, and named. */
#ifndef MUSTER_NODE_SERVICE_LOGS_BATCH_H
#define MUSTER_NODE_SERVICE_LOGS_BATCH_H

#include "node/service/logs/entry.h"
#include "store/stream.h"

enum { LOGS_BATCH_MOST = 10000 }; /* entries of one request */

/* All zero at the start, but for the first three. */
struct logs_batch {
    size_t entry_limit; /* bytes of an entry as it came */
    unsigned lanes;
    struct logs_keys keys;
    struct buf one, flat; /* an entry; all so far */
    struct chunk *items; /* placed, as stream_append_chunk takes them; NULL: none are, or not yet */
    size_t count;
    struct buf elements; /* for each of them its place among those that came, as uint16_t */
    size_t seen;         /* entries that came, those left out too */
    size_t refused;      /* left out: over entry_limit */
    struct buf reasons;  /* why, of the first ones: members of a JSON array */
};

/* `object` is a valid JSON object. false: there are LOGS_BATCH_MOST already. */
bool logs_batch_add(struct logs_batch *batch, struct span object)
    __attribute__((warn_unused_result));

/* Once, after the last one: makes `items`. */
void logs_batch_place(struct logs_batch *batch);

/* Placed items of these lanes stay (a bit for each), the others go. */
void logs_batch_keep(struct logs_batch *batch, uint64_t lanes);

/* How many there are of these lanes. */
size_t logs_batch_count(const struct logs_batch *batch, uint64_t lanes);

/* Appends the places of the items of other lanes, as members of a JSON array. */
void logs_batch_print_others(const struct logs_batch *batch, uint64_t lanes, struct buf *out);
void logs_batch_free(struct logs_batch *batch);

#endif
