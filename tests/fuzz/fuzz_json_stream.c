/* SPDX-License-Identifier: MIT */
/* A stream of objects gives the same objects however it is cut; each is a valid object within the
 * limit, and setting a member of it changes that member alone. */
#include "node/proto/json/stream.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { LIMIT = 512 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

static void check_set(struct span object)
{
    struct json_field before[] = {{.name = "type"}, {.name = "a"}};
    struct json_field after[] = {{.name = "type"}, {.name = "a"}, {.name = "identifier"}};
    struct buf out = {0};
    must(json_fields(object, before, 2) == 0, "an object");
    must(json_set(object, "identifier", SPAN("7"), &out) == 0, "an object to set in");
    must(json_fields(buf_span(&out), after, 3) == 0, "an object after setting");
    must(span_eq(after[2].raw, SPAN("7")), "the value set");
    for (size_t i = 0; i < 2; i++) {
        must(before[i].kind == after[i].kind && span_eq(before[i].raw, after[i].raw), "the others");
    }
    buf_free(&out);
}

/* Appends the objects, each with a NUL behind it; pieces as `seed` says, 0: whole. */
static int gather(struct span text, uint32_t seed, struct buf *out)
{
    struct json_stream stream;
    int rc = 0;
    json_stream_init(&stream, LIMIT);
    while (text.len > 0 && rc >= 0) {
        seed = seed * 1664525 + 1013904223;
        size_t piece = (seed & 1) == 0 ? text.len : (seed >> 24) % 5 + 1;
        struct span bytes = span_of(text.ptr, piece < text.len ? piece : text.len), object;
        text = span_skip(text, bytes.len);
        while (bytes.len > 0 && (rc = json_stream_next(&stream, &bytes, &object)) > 0) {
            must(object.len <= LIMIT, "the limit");
            check_set(object);
            buf_append(out, object);
            buf_append(out, span_of("", 1));
        }
        must(rc != 0 || bytes.len == 0, "all taken");
    }
    json_stream_deinit(&stream);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole = {0}, pieces = {0};
    struct span text = span_of(data, size);
    int one = gather(text, 0, &whole), other = gather(text, (uint32_t)size * 2 + 1, &pieces);
    must((one < 0) == (other < 0), "whole or in pieces: the end");
    must(span_eq(buf_span(&whole), buf_span(&pieces)), "whole or in pieces: the objects");
    buf_free(&whole);
    buf_free(&pieces);
    return 0;
}
