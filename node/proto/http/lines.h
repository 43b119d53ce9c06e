/* SPDX-License-Identifier: MIT */
/* lines: where the reading of a section of lines (a head, or chunked trailers) and of a chunked body
 * stands. No I/O. */
#ifndef MUSTER_NODE_PROTO_HTTP_LINES_H
#define MUSTER_NODE_PROTO_HTTP_LINES_H

#include "store/base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where the search for the end of a head (or of chunked trailers) stands. */
struct http_lines {
    char last;   /* the byte before */
    bool filled; /* the current line is not empty */
    bool begun;  /* there was a line that is not empty */
};

struct http_chunks {
    uint8_t state; /* of body.c */
    uint8_t digits;
    uint8_t place; /* of body.c: in an extension, or a line of the trailer */
    uint16_t line; /* bytes in extensions */
    uint64_t left; /* of the chunk's data */
    size_t trailer;
    struct http_lines lines;
};

/* Finds the empty line that ends a section of lines. Below 0: a byte that may not stand there, a
 * bare CR or LF, a folded line; 0: not yet; above 0: the bytes up to and with its end. */
long http_lines_end(struct http_lines *lines, struct span bytes);

#endif
