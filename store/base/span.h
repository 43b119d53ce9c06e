/* SPDX-License-Identifier: MIT */
/* span: a pointer and a length, for bytes that belong to another object and do not end with a
 * NUL. */
#ifndef MUSTER_STORE_BASE_SPAN_H
#define MUSTER_STORE_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct span {
    const char *ptr; /* borrowed; may be NULL only when len is 0 */
    size_t len;      /* bytes */
};

/* A span over a string literal, usable in initialisers. */
#define SPAN(literal) ((struct span){(literal), sizeof(literal) - 1})

/* printf("%.*s", SPAN_ARG(s)); lengths beyond INT_MAX never reach a format. */
#define SPAN_ARG(s) (int)(s).len, ((s).ptr != NULL ? (s).ptr : "")

static inline struct span span_of(const void *ptr, size_t len)
{
    return (struct span){ptr, len};
}

/* Borrows a NUL-ended string; NULL gives the empty span. */
static inline struct span span_str(const char *text)
{
    return (struct span){text, text != NULL ? strlen(text) : 0};
}

static inline bool span_eq(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Equality that ignores the case of ASCII letters. */
static inline bool span_eq_nocase(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || strncasecmp(a.ptr, b.ptr, a.len) == 0);
}

/* Below 0, 0 or above 0, as memcmp; what begins like the other comes before it. */
static inline int span_compare(struct span a, struct span b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? memcmp(a.ptr, b.ptr, len) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static inline bool span_starts_with(struct span s, struct span prefix)
{
    return s.len >= prefix.len && memcmp(s.ptr, prefix.ptr, prefix.len) == 0;
}

/* The rest of `s` after its first `n` bytes; n is at most s.len. */
static inline struct span span_skip(struct span s, size_t n)
{
    return (struct span){n > 0 ? s.ptr + n : s.ptr, s.len - n};
}

/* Without spaces and tabs at both ends. */
static inline struct span span_trim(struct span s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) {
        s = span_skip(s, 1);
    }
    while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t')) {
        s.len--;
    }
    return s;
}

/* Cuts off and returns what stands before the first `separator` in *rest, which moves behind it;
 * the whole of *rest (which becomes empty with a NULL ptr) when there is none. */
static inline struct span span_cut(struct span *rest, char separator)
{
    const char *at = rest->len > 0 ? memchr(rest->ptr, separator, rest->len) : NULL;
    struct span head = *rest;
    if (at == NULL) {
        *rest = (struct span){NULL, 0};
        return head;
    }
    head.len = (size_t)(at - rest->ptr);
    *rest = span_skip(*rest, head.len + 1);
    return head;
}

#endif
