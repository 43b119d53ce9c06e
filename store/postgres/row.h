/* SPDX-License-Identifier: MIT */
/* pg row: rows in the binary format of COPY (PostgreSQL manual, COPY, Binary Format). */
#ifndef MUSTER_STORE_POSTGRES_ROW_H
#define MUSTER_STORE_POSTGRES_ROW_H

#include "store/base/buf.h"

#include <stdint.h>

#define PG_COPY_HEAD SPAN("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0")
#define PG_COPY_TAIL SPAN("\377\377")

/* What timestamptz can hold, in microseconds since 1970: 4713 BC to before 294277. */
#define PG_TIME_LEAST (-210866803200000000LL)
#define PG_TIME_MOST (9223371331200000000LL - 946684800000000LL)

static inline void pg_put_int(struct buf *row, uint64_t value, size_t bytes)
{
    char *to = buf_room(row, bytes);
    for (size_t i = 0; i < bytes; i++) {
        to[i] = (char)(value >> (8 * (bytes - 1 - i)));
    }
    buf_grew(row, bytes);
}

static inline void pg_row_begin(struct buf *row, unsigned columns)
{
    pg_put_int(row, columns, 2);
}

static inline void pg_put_null(struct buf *row)
{
    pg_put_int(row, UINT32_MAX, 4);
}

static inline void pg_put_bigint(struct buf *row, int64_t value)
{
    pg_put_int(row, 8, 4);
    pg_put_int(row, (uint64_t)value, 8);
}

/* `us`: microseconds since 1970, from PG_TIME_LEAST to below PG_TIME_MOST. */
static inline void pg_put_time(struct buf *row, int64_t us)
{
    pg_put_bigint(row, us - 946684800000000LL);
}

/* UTF-8 without NUL. */
static inline void pg_put_text(struct buf *row, struct span text)
{
    pg_put_int(row, text.len, 4);
    buf_append(row, text);
}

static inline void pg_put_jsonb(struct buf *row, struct span text)
{
    pg_put_int(row, text.len + 1, 4);
    pg_put_int(row, 1, 1); /* version */
    buf_append(row, text);
}

#endif
