/* SPDX-License-Identifier: MIT */
#include "store/base/resp.h"

#include "store/base/decimal.h"

enum {
    DIGITS_MOST = 20,
    LINE_MOST = DIGITS_MOST + 3, /* kind, number, line end */
};

/* Writes `number` so that it ends before `end`; returns where it begins. */
static char *digits(char *end, uint64_t number)
{
    do {
        *--end = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return end;
}

static void line(struct buf *out, char kind, uint64_t number)
{
    char text[LINE_MOST];
    char *end = text + sizeof(text);
    *--end = '\n';
    *--end = '\r';
    end = digits(end, number);
    *--end = kind;
    buf_append(out, span_of(end, (size_t)(text + sizeof(text) - end)));
}

void resp_command(struct buf *out, size_t count)
{
    line(out, '*', count);
}

void resp_word(struct buf *out, struct span word)
{
    line(out, '$', word.len);
    buf_append(out, word);
    buf_append(out, SPAN("\r\n"));
}

void resp_joined(struct buf *out, struct span head, struct span rest)
{
    line(out, '$', head.len + rest.len);
    buf_append(out, head);
    buf_append(out, rest);
    buf_append(out, SPAN("\r\n"));
}

void resp_number(struct buf *out, uint64_t number)
{
    char text[DIGITS_MOST];
    char *begin = digits(text + sizeof(text), number);
    resp_word(out, span_of(begin, (size_t)(text + sizeof(text) - begin)));
}

bool resp_cut(struct span *rest, struct span *word)
{
    struct span text = *rest;
    uint64_t len;
    if (text.len == 0 || text.ptr[0] != '$') {
        return false;
    }
    text = span_skip(text, 1);
    if (!decimal_cut(&text, '\r', &len) || text.len < 3 || len > text.len - 3) {
        return false;
    }
    *word = span_of(text.ptr + 1, (size_t)len);
    *rest = span_skip(text, (size_t)len + 3); /* and both line ends */
    return true;
}
