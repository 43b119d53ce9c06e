/* SPDX-License-Identifier: MIT */
/* utf8: text in UTF-8 (RFC 3629): is it, and where may it be cut? */
#ifndef MUSTER_STORE_BASE_UTF8_H
#define MUSTER_STORE_BASE_UTF8_H

#include "store/base/span.h"

#include <stdbool.h>
#include <stdint.h>

/* Where a check of text that comes in pieces stands; all zero at the start. */
struct utf8 {
    uint8_t want;      /* continuation bytes still to come */
    uint8_t low, high; /* bounds of the next one */
};

/* Takes the next piece. false as soon as it cannot become UTF-8 any more. */
bool utf8_feed(struct utf8 *utf8, struct span bytes);

/* The text may end here. */
static inline bool utf8_whole(const struct utf8 *utf8)
{
    return utf8->want == 0;
}

/* All of it at once. */
bool utf8_valid(struct span text);

/* The front of `text`, at most `most` bytes and no half character at the end, as far as `text` is
 * UTF-8. */
struct span utf8_cut(struct span text, size_t most);

/* Bytes of the character at the front of `text`, or 0 when none that is UTF-8 stands there. */
size_t utf8_character(struct span text);

#endif
