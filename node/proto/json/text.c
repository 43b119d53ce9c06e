/* SPDX-License-Identifier: MIT */
#include "node/proto/json/scan_impl.h"

#include "store/base/utf8.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */
#define ELLIPSIS "\xe2\x80\xa6"    /* U+2026 */

static unsigned hex_value(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

/* The code unit of the \uXXXX at the front of `text`; 0x10000 when there is none. */
static uint32_t code_unit(struct span text)
{
    if (text.len < 6 || text.ptr[0] != '\\' || text.ptr[1] != 'u') {
        return 0x10000;
    }
    uint32_t unit = 0;
    for (int i = 2; i < 6; i++) {
        unit = unit << 4 | hex_value(text.ptr[i]);
    }
    return unit;
}

static size_t encode(uint32_t code, char out[static 4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = len - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    out[0] = (char)(lead[len] | code);
    return len;
}

static size_t unescape_unicode(struct span *text, char out[static 4])
{
    uint32_t high = code_unit(*text);
    *text = span_skip(*text, 6);
    if (high < 0xd800 || high > 0xdfff) {
        return encode(high, out);
    }
    uint32_t low = code_unit(*text);
    if (high > 0xdbff || low < 0xdc00 || low > 0xdfff) {
        return encode(0xfffd, out);
    }
    *text = span_skip(*text, 6);
    return encode(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00), out);
}

size_t json_unescape(struct span *text, char out[static 4])
{
    static const char names[] = "bfnrt", meaning[] = "\b\f\n\r\t";
    if (text->ptr[0] != '\\') {
        out[0] = text->ptr[0];
        *text = span_skip(*text, 1);
        return 1;
    }
    if (text->ptr[1] == 'u') {
        return unescape_unicode(text, out);
    }
    const char *at = strchr(names, text->ptr[1]);
    out[0] = at != NULL ? meaning[at - names] : text->ptr[1];
    *text = span_skip(*text, 2);
    return 1;
}

/* Where the plain text at the front of `inside` is cut to `most` bytes, between two characters. */
static size_t plain_len(struct span inside, size_t most)
{
    const char *escape = memchr(inside.ptr, '\\', inside.len);
    size_t plain = escape != NULL ? (size_t)(escape - inside.ptr) : inside.len;
    if (plain > most) {
        for (plain = most;
             plain < inside.len && ((unsigned char)inside.ptr[plain] & 0xc0) == 0x80;) {
            plain++;
        }
    }
    return plain;
}

void json_unquote_cut(struct span raw, size_t most, struct buf *out)
{
    struct span inside = span_of(raw.ptr + 1, raw.len - 2);
    size_t begin = out->len;
    while (inside.len > 0 && out->len - begin < most) {
        size_t plain = plain_len(inside, most - (out->len - begin));
        buf_append(out, span_of(inside.ptr, plain));
        inside = span_skip(inside, plain);
        if (inside.len > 0 && out->len - begin < most) {
            char utf8[4];
            buf_append(out, span_of(utf8, json_unescape(&inside, utf8)));
        }
    }
}

void json_unquote(struct span raw, struct buf *out)
{
    json_unquote_cut(raw, raw.len, out);
}

static void quote_special(unsigned char c, struct buf *out)
{
    static const char meaning[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
    const char *at = c != '\0' ? strchr(meaning, c) : NULL;
    if (at != NULL) {
        buf_printf(out, "\\%c", names[at - meaning]);
    } else {
        buf_printf(out, "\\u%04x", c);
    }
}

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static void quote_inside(struct span text, struct buf *out)
{
    while (text.len > 0) {
        size_t n = 0;
        while (n < text.len && is_plain((unsigned char)text.ptr[n])) {
            n++;
        }
        if (n == 0 && (unsigned char)text.ptr[0] < 0x80) {
            quote_special((unsigned char)text.ptr[0], out);
            n = 1;
        } else if (n == 0 && (n = utf8_character(text)) == 0) {
            buf_append(out, SPAN(REPLACEMENT));
            n = 1;
        } else {
            buf_append(out, span_of(text.ptr, n));
        }
        text = span_skip(text, n);
    }
}

void json_quote(struct span text, struct buf *out)
{
    buf_append(out, SPAN("\""));
    quote_inside(text, out);
    buf_append(out, SPAN("\""));
}

void json_quote_cut(struct span text, size_t most, struct buf *out)
{
    struct span shown = utf8_cut(text, most);
    buf_append(out, SPAN("\""));
    quote_inside(shown, out);
    buf_append(out, shown.len < text.len ? SPAN(ELLIPSIS "\"") : SPAN("\""));
}
