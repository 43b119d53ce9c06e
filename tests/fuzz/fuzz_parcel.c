/* SPDX-License-Identifier: MIT */
/* Items of a parcel: what is read lies in it, one behind the other, and written again it is the same. */
#include "store/way.h"

#include "store/base/buf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

static void put(struct buf *out, const struct way_item *item)
{
    buf_printf(out, "%zu %zu %" PRIu64 "\n", item->topic.len, item->payload.len, item->age_us);
    buf_append(out, item->topic);
    buf_append(out, item->payload);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct buf again, twice;
    again.len = twice.len = 0;
    struct span rest = span_of(data, size);
    struct way_item item;
    const char *before = rest.ptr;
    int got;
    while ((got = way_next(&rest, &item)) == 1) {
        must(item.topic.ptr > before && item.payload.ptr == item.topic.ptr + item.topic.len &&
                 rest.ptr == item.payload.ptr + item.payload.len,
             "in its place");
        before = rest.ptr;
        put(&again, &item);
    }
    for (rest = buf_span(&again); (got = way_next(&rest, &item)) == 1;) {
        put(&twice, &item);
    }
    must(got == 0 && span_eq(buf_span(&again), buf_span(&twice)), "the same again");
    return 0;
}
