/* SPDX-License-Identifier: MIT */
#include "store/redis/redirect.h"

#include "store/base/decimal.h"

/* "<slot> <host>:<port>", where an IPv6 address has colons of its own */
static bool read_place(struct span rest, struct redis_redirect *out)
{
    uint64_t slot, port;
    if (!decimal_read(span_cut(&rest, ' '), 16383, &slot)) {
        return false;
    }
    struct span at = span_cut(&rest, ' ');
    const char *colon = at.len > 0 ? memrchr(at.ptr, ':', at.len) : NULL;
    size_t host = colon != NULL ? (size_t)(colon - at.ptr) : 0;
    if (colon == NULL || !decimal_read(span_skip(at, host + 1), UINT16_MAX, &port)) {
        return false;
    }
    out->slot = (unsigned)slot;
    out->host = span_of(at.ptr, host);
    out->port = (uint16_t)port;
    return port > 0;
}

struct redis_redirect redis_redirect_read(const char *error)
{
    struct span text = span_str(error);
    struct redis_redirect out = {REDIRECT_NONE, 0, {NULL, 0}, 0};
    if (span_starts_with(text, SPAN("MOVED "))) {
        out.kind = read_place(span_skip(text, 6), &out) ? REDIRECT_MOVED : REDIRECT_NONE;
    } else if (span_starts_with(text, SPAN("ASK "))) {
        out.kind = read_place(span_skip(text, 4), &out) ? REDIRECT_ASK : REDIRECT_NONE;
    } else if (span_starts_with(text, SPAN("CLUSTERDOWN")) && strstr(error, "not served") != NULL) {
        out.kind = REDIRECT_UNSERVED;
    } else if (span_starts_with(text, SPAN("TRYAGAIN")) ||
               strstr(error, "non local key in a cluster") != NULL) {
        out.kind = REDIRECT_AGAIN;
    }
    return out;
}
