/* SPDX-License-Identifier: MIT */
#include "node/net/cidr.h"

#include "store/base/decimal.h"
#include "store/base/mem.h"

#include <string.h>

enum { MAPPED_BITS = 96 /* before those of an IPv4 address */ };

/* Up to three digits, and no more than `most`; below 0: no such number. */
static int parse_bits(struct span text, int most)
{
    uint64_t bits;
    return text.len <= 3 && decimal_read(text, (uint64_t)most, &bits) ? (int)bits : -1;
}

static int parse_one(struct span text, struct cidr *out)
{
    struct span bits = text;
    struct span ip = span_cut(&bits, '/');
    struct address address;
    if (address_parse_ip(ip, &address) != 0) {
        return -1;
    }
    /* "10.0.0.0/8" counts its bits as IPv4, and so does "::ffff:10.0.0.0/8", which would else be
     * nearly every address there is; "::ffff:10.0.0.0/104" counts them from the front. */
    bool plain = memchr(ip.ptr, ':', ip.len) == NULL;
    bool mapped = !plain && address_is_ipv4(&address);
    int most = plain ? 32 : 128;
    int wanted = bits.ptr != NULL ? parse_bits(bits, most) : most;
    bool as_ipv4 = plain || (mapped && wanted <= 32 && memchr(ip.ptr, '.', ip.len) != NULL);
    int before = as_ipv4 ? MAPPED_BITS : 0;
    if (wanted < 0 || (mapped && before + wanted < MAPPED_BITS)) {
        return -1;
    }
    memcpy(out->ip, address.ip, sizeof(out->ip));
    out->bits = (uint8_t)(before + wanted);
    return 0;
}

int cidr_list_parse(struct span text, struct cidr_list *out, struct span *wrong)
{
    *out = (struct cidr_list){0};
    while (text.len > 0) {
        struct span item = span_trim(span_cut(&text, ','));
        struct cidr range;
        if (item.len == 0) {
            continue;
        }
        if (parse_one(item, &range) != 0) {
            *wrong = item;
            cidr_list_free(out);
            return -1;
        }
        out->ranges = mem_realloc(out->ranges, (out->count + 1) * sizeof(*out->ranges));
        out->ranges[out->count++] = range;
    }
    return 0;
}

void cidr_list_free(struct cidr_list *list)
{
    free(list->ranges);
    *list = (struct cidr_list){0};
}

static bool has(const struct cidr *range, const struct address *address)
{
    unsigned whole = range->bits / 8U, rest = range->bits % 8U;
    if (memcmp(range->ip, address->ip, whole) != 0) {
        return false;
    }
    return rest == 0 || ((range->ip[whole] ^ address->ip[whole]) >> (8 - rest)) == 0;
}

bool cidr_list_has(const struct cidr_list *list, const struct address *address)
{
    for (size_t i = 0; i < list->count; i++) {
        if (has(&list->ranges[i], address)) {
            return true;
        }
    }
    return false;
}
