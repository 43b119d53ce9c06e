/* SPDX-License-Identifier: MIT */
#include "store/base/utf8.h"

/* Bytes at the start of `bytes` that are ASCII, eight at a time; up to seven more may follow. */
static size_t ascii_run(struct span bytes)
{
    size_t n = 0;
    while (bytes.len - n >= sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, bytes.ptr + n, sizeof(word));
        if ((word & 0x8080808080808080U) != 0) {
            break;
        }
        n += sizeof(word);
    }
    return n;
}

/* What may follow the lead byte, RFC 3629 section 4: the bounds of the second byte keep out
 * overlong forms, surrogates and what lies beyond U+10FFFF. */
static bool lead(struct utf8 *utf8, unsigned char byte)
{
    utf8->low = 0x80;
    utf8->high = 0xbf;
    if (byte >= 0xc2 && byte <= 0xdf) {
        utf8->want = 1;
    } else if (byte >= 0xe0 && byte <= 0xef) {
        utf8->want = 2;
        utf8->low = byte == 0xe0 ? 0xa0 : 0x80;
        utf8->high = byte == 0xed ? 0x9f : 0xbf;
    } else if (byte >= 0xf0 && byte <= 0xf4) {
        utf8->want = 3;
        utf8->low = byte == 0xf0 ? 0x90 : 0x80;
        utf8->high = byte == 0xf4 ? 0x8f : 0xbf;
    } else {
        return false;
    }
    return true;
}

static bool step(struct utf8 *utf8, unsigned char byte)
{
    if (utf8->want == 0) {
        return byte < 0x80 || lead(utf8, byte);
    }
    if (byte < utf8->low || byte > utf8->high) {
        return false;
    }
    utf8->want--;
    utf8->low = 0x80;
    utf8->high = 0xbf;
    return true;
}

bool utf8_feed(struct utf8 *utf8, struct span bytes)
{
    size_t i = 0;
    while (i < bytes.len) {
        if (utf8->want == 0) {
            i += ascii_run(span_skip(bytes, i));
            if (i == bytes.len) {
                break;
            }
        }
        if (!step(utf8, (unsigned char)bytes.ptr[i])) {
            return false;
        }
        i++;
    }
    return true;
}

bool utf8_valid(struct span text)
{
    struct utf8 utf8 = {0};
    return utf8_feed(&utf8, text) && utf8_whole(&utf8);
}

size_t utf8_character(struct span text)
{
    struct utf8 utf8 = {0};
    size_t n = 0;
    do {
        if (n == text.len || !utf8_feed(&utf8, span_of(text.ptr + n, 1))) {
            return 0;
        }
        n++;
    } while (!utf8_whole(&utf8));
    return n;
}

struct span utf8_cut(struct span text, size_t most)
{
    if (text.len > most) {
        while (most > 0 && ((unsigned char)text.ptr[most] & 0xc0) == 0x80) {
            most--;
        }
        text.len = most;
    }
    return text;
}
