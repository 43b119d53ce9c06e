/* SPDX-License-Identifier: MIT */
/* What scan.c, fields.c, walk.c and text.c share; no other file includes it. */
#ifndef MUSTER_NODE_PROTO_JSON_SCAN_IMPL_H
#define MUSTER_NODE_PROTO_JSON_SCAN_IMPL_H

#include "node/proto/json/scan.h"

enum json_state {
    JSON_START, /* nothing but white space yet; 0, as json_scan_init leaves it */
    JSON_VALUE,
    JSON_VALUE_OR_END,
    JSON_KEY_OR_END,
    JSON_NEXT_KEY,
    JSON_COLON,
    JSON_AFTER,
    JSON_WORD,
    JSON_TEXT,
    JSON_ESCAPE,
    JSON_HEX,
    JSON_KEY_TEXT,
    JSON_KEY_ESCAPE,
    JSON_KEY_HEX,
    JSON_MINUS, /* from here on: inside a number */
    JSON_ZERO,
    JSON_INTEGER,
    JSON_POINT,
    JSON_FRACTION,
    JSON_E,
    JSON_E_SIGN,
    JSON_EXPONENT,
    JSON_WHOLE,
};

/* RFC 8259, section 2. */
static inline bool json_is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Bytes at the front of `rest` that go on with the text of a string: up to a quote, a backslash or
 * what may not stand there. Eight at a time: log entries and chat are mostly such text. */
static inline size_t json_plain_run(struct span rest)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    size_t n = 0;
    uint64_t word;
    while (rest.len - n >= sizeof(word)) {
        memcpy(&word, rest.ptr + n, sizeof(word));
        /* A byte below x, or equal to x, leaves its top bit set somewhere in these. */
        uint64_t quote = word ^ ones * '"', backslash = word ^ ones * '\\';
        uint64_t found = ((word - ones * 0x20) & ~word) | ((quote - ones) & ~quote) |
                         ((backslash - ones) & ~backslash);
        if ((found & ones * 0x80) != 0) {
            break;
        }
        n += sizeof(word);
    }
    while (n < rest.len && (unsigned char)rest.ptr[n] >= 0x20 && rest.ptr[n] != '"' &&
           rest.ptr[n] != '\\') {
        n++;
    }
    return n;
}

static inline bool json_in_number(uint8_t state)
{
    return state >= JSON_MINUS && state <= JSON_EXPONENT;
}

/* json_scan_feed that also stops, with 2, behind each key (state JSON_COLON) and each value (state
 * JSON_AFTER) that stands no deeper than `stop_depth`. */
int json_scan_advance(struct json_scan *scan, struct span bytes, unsigned stop_depth, size_t *used)
    __attribute__((warn_unused_result));

/* Takes one character, escaped or not, from the front of *text, which is the inside of a valid
 * string and not empty; writes it to `out` as UTF-8 and returns its length there. */
size_t json_unescape(struct span *text, char out[static 4]);

#endif
