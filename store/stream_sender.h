/* SPDX-License-Identifier: MIT */
/* stream sender: appends to one part of the stream, call by call, as long as its server takes them. */
#ifndef MUSTER_STORE_STREAM_SENDER_H
#define MUSTER_STORE_STREAM_SENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chunk;
struct store;
struct stream_history;
struct stream_table;
struct stream_whole;

/* Queues a share of `whole` for the part's next call: so many items, of these lanes (a bit for each).
 * Steals the reference to `items`. */
void stream_sender_queue(struct stream_table *table, struct chunk *items, size_t count,
                         uint64_t lanes, struct stream_whole *whole);

/* Is its server there, and does not too much wait for it? What waits for one server that stands still
 * leaves the others some room. */
bool stream_sender_has_room(const struct stream_table *table);

/* May it be given something of which other parts get a share? What is stored there and refused here is
 * stored twice where the caller sends all of it again. */
bool stream_sender_is_well(const struct stream_table *table);

/* The link of its server went up or down, or the part has another server. */
void stream_sender_on_link(struct stream_table *table, bool up);

/* The server said how the part is; up to the seq `stored` sinks have all. */
void stream_sender_on_state(struct stream_table *table, const struct stream_history *history,
                            uint64_t stored);

void stream_sender_init(struct stream_table *table, struct store *store, unsigned part);
void stream_sender_deinit(struct stream_table *table);

#endif
