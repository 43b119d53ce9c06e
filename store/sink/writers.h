/* SPDX-License-Identifier: MIT */
/* sink writers: what is stored of each writer, in log_writer. */
#ifndef MUSTER_STORE_SINK_WRITERS_H
#define MUSTER_STORE_SINK_WRITERS_H

#include "store/base/buf.h"

struct sink_lane;

/* Appends the statement that says what is stored of the writers of `count` rows of the batch being stored, from `at`;
 * nothing when none is named. */
void sink_writers_put(const struct sink_lane *lane, struct buf *sql, size_t at, size_t count);

/* Appends an expression whose value sink_writers_learn takes. */
void sink_writers_ask(const struct sink_lane *lane, struct buf *sql);
void sink_writers_learn(struct sink_lane *lane, struct span lines);

#endif
