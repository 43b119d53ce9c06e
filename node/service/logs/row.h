/* SPDX-License-Identifier: MIT */
/* logs row: a log entry as a row of the table log_entry. What fits no column is stored as far as it
 * is valid, and then the whole entry stands in extra under _raw. */
#ifndef MUSTER_NODE_SERVICE_LOGS_ROW_H
#define MUSTER_NODE_SERVICE_LOGS_ROW_H

#include "store/sink/sink.h"

/* The table and its columns, in the order of logs_row. */
#define LOGS_TABLE                                                                                 \
    "log_entry (server_time, seq_number, client_time, level, msg, user_name, room, text, extra)"

/* A sink_codec's row. */
bool logs_row(void *arg, const struct sink_item *item, struct buf *row, const char **reason);

/* When and as which number another server took an entry: serverTime, or timestamp where there is none
 * (an old server's own lines), and seqNumber; what is not there, or cannot be, stays as it was.
 * True when both were there: it can be told from others. */
bool logs_row_place(struct span payload, int64_t *time_us, uint64_t *seq);

#endif
