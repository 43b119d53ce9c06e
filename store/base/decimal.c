/* SPDX-License-Identifier: MIT */
#include "store/base/decimal.h"

bool decimal_read(struct span text, uint64_t most, uint64_t *number)
{
    uint64_t value = 0;
    *number = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint64_t digit = (uint64_t)(unsigned char)text.ptr[i] - '0'; /* huge below '0' */
        if (digit > 9 || digit > most || value > (most - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *number = value;
    return text.len > 0;
}

bool decimal_capped(struct span text, uint64_t most, uint64_t *number)
{
    size_t digits = 0;
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9') {
        digits++;
    }
    bool good = digits > 0 && digits == text.len;
    if (!decimal_read(text, most, number) && good) {
        *number = most;
    }
    return good;
}

bool decimal_cut(struct span *rest, char end, uint64_t *number)
{
    const char *at = rest->len > 0 ? memchr(rest->ptr, end, rest->len) : NULL;
    *number = 0;
    if (at == NULL ||
        !decimal_read(span_of(rest->ptr, (size_t)(at - rest->ptr)), UINT64_MAX, number)) {
        return false;
    }
    *rest = span_skip(*rest, (size_t)(at - rest->ptr) + 1);
    return true;
}
