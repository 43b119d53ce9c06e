/* SPDX-License-Identifier: MIT */
/* What other nodes wrote, without I/O: way.c writes it. */
#include "store/way.h"

#include "store/base/decimal.h"

int way_next(struct span *rest, struct way_item *item)
{
    uint64_t topic, payload;
    if (rest->len == 0) {
        return 0;
    }
    if (!decimal_cut(rest, ' ', &topic) || !decimal_cut(rest, ' ', &payload) ||
        !decimal_cut(rest, '\n', &item->age_us) || topic > rest->len ||
        payload > rest->len - topic) {
        return -1;
    }
    item->topic = span_of(rest->ptr, topic);
    item->payload = span_of(rest->ptr + topic, payload);
    *rest = span_skip(*rest, topic + payload);
    return 1;
}
