/* SPDX-License-Identifier: MIT */
#include "node/service/dispatch/port/ranges.h"

#include "store/base/decimal.h"
#include "store/base/mem.h"

#include <stdlib.h>

unsigned dispatch_port_number(struct span text)
{
    uint64_t port;
    return decimal_read(text, UINT16_MAX, &port) ? (unsigned)port : 0;
}

static bool cut_kind(struct span *item, struct span kind)
{
    if (item->len < kind.len || !span_eq(span_of(item->ptr, kind.len), kind)) {
        return false;
    }
    *item = span_trim(span_skip(*item, kind.len));
    return true;
}

static int parse_one(struct span item, struct dispatch_range *out)
{
    bool tcp = cut_kind(&item, SPAN("tcp:"));
    bool udp = !tcp && cut_kind(&item, SPAN("udp:"));
    unsigned low = dispatch_port_number(span_trim(span_cut(&item, '-')));
    unsigned high = item.ptr != NULL ? dispatch_port_number(span_trim(item)) : low;
    *out = (struct dispatch_range){
        .low = (uint16_t)low, .high = (uint16_t)high, .tcp = !udp, .udp = !tcp};
    return low > 0 && low <= high ? 0 : -1;
}

int dispatch_ranges_parse(struct span text, struct dispatch_ranges *out, struct span *wrong)
{
    *out = (struct dispatch_ranges){0};
    *wrong = text;
    while (text.len > 0) {
        struct span item = span_trim(span_cut(&text, ','));
        struct dispatch_range range;
        if (item.len == 0) {
            continue;
        }
        if (parse_one(item, &range) != 0) {
            *wrong = item;
            dispatch_ranges_free(out);
            return -1;
        }
        out->ranges = mem_realloc(out->ranges, (out->count + 1) * sizeof(*out->ranges));
        out->ranges[out->count++] = range;
    }
    return out->count > 0 ? 0 : -1;
}

void dispatch_ranges_free(struct dispatch_ranges *ranges)
{
    free(ranges->ranges);
    *ranges = (struct dispatch_ranges){0};
}

bool dispatch_ranges_have(const struct dispatch_ranges *ranges, bool is_udp, unsigned port)
{
    for (size_t i = 0; i < ranges->count; i++) {
        const struct dispatch_range *range = &ranges->ranges[i];
        if (port >= range->low && port <= range->high && (is_udp ? range->udp : range->tcp)) {
            return true;
        }
    }
    return false;
}
