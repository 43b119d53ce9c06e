/* SPDX-License-Identifier: MIT */
/* A PROXY header is the same header with more or less behind it: what is complete stays so, what is
 * wrong stays wrong, and "more is needed" is said only where more can help. */
#include "node/proto/proxy.h"
#include "store/base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

static int read_copy(const uint8_t *data, size_t size, struct proxy *proxy, size_t *used)
{
    char *copy = malloc(size > 0 ? size : 1); /* exactly as long: overruns show */
    memcpy(copy, data, size);
    int rc = proxy_read(span_of(copy, size), proxy, used);
    free(copy);
    return rc;
}

/* In two pieces it is the same header, of the same length. */
static void gather(const uint8_t *data, size_t size, int rc, size_t whole_used)
{
    struct buf head = {0};
    struct proxy proxy;
    size_t half = size / 2, taken = 0;
    int now = proxy_gather(&head, span_of(data, half), &proxy, &taken);
    if (now == 0) {
        must(taken == half, "all of the first piece");
        now = proxy_gather(&head, span_of(data + half, size - half), &proxy, &taken);
        must(now <= 0 || taken + half == whole_used, "the length in two pieces");
    }
    must((now > 0) == (rc > 0), "in two pieces");
    buf_free(&head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy whole, part;
    size_t whole_used, used;
    int rc = read_copy(data, size, &whole, &whole_used);
    must(rc <= 0 || (whole_used > 0 && whole_used <= size && whole_used <= PROXY_LIMIT), "used");
    must(rc != 0 || size < PROXY_LIMIT, "waiting for what is too long");
    gather(data, size, rc, whole_used);
    int before = 0;
    for (size_t len = 0; len <= size && len <= 256; len++) {
        int now = read_copy(data, len, &part, &used);
        must(before == 0 || (before > 0) == (now > 0), "the answer stays");
        must(now <= 0 || rc <= 0 || used == whole_used, "the same header");
        must(now <= 0 || memcmp(part.source.ip, whole.source.ip, 16) == 0, "the same source");
        before = now;
    }
    return 0;
}
