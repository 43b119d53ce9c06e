/* SPDX-License-Identifier: MIT */
/* fetch: HTTP requests that the node makes, without holding up the loop: libcurl's multi interface
 * on the loop's events. A bounded number go on at a time; the others wait their turn, within their
 * time. */
#ifndef MUSTER_NODE_PROTO_HTTP_FETCH_H
#define MUSTER_NODE_PROTO_HTTP_FETCH_H

#include "store/base/span.h"

#include <event2/event.h>
#include <stdint.h>

struct fetcher;
struct fetch;

struct fetcher_options {
    struct event_base *base; /* borrowed */
    unsigned parallel;       /* requests at a time */
    unsigned waiting;        /* requests that may wait for their turn */
};

/* New; the process ends with a message when libcurl cannot be set up. */
struct fetcher *fetch_pool_new(const struct fetcher_options *options);

/* Frees; requests under way end without a word. NULL inside is fine. */
void fetch_pool_free(struct fetcher **fetcher);

struct fetch_request {
    const char *url;    /* http or https; copied, as all of this */
    const char *bearer; /* sent as "Authorization: Bearer ..."; NULL: none */
    struct span json;   /* POSTed when ptr is not NULL; otherwise GET */
    uint32_t limit_ms;  /* from now to the whole answer, waiting included */
    size_t body_limit;  /* bytes of the answer; more is a failure */
};

/* The answer: `status` is the HTTP status; 0 when there was no whole answer, with `error` a few
 * words for the log. `body` and `error` are borrowed until return. Called once, from the loop,
 * unless cancelled before. Redirects are answers like any other. */
typedef void fetch_fn(void *arg, int status, struct span body, const char *error);

/* Starts a request, borrowed until `fn` was called. NULL, and no call, when too many wait. */
struct fetch *fetch_start(struct fetcher *fetcher, const struct fetch_request *request,
                          fetch_fn *fn, void *arg) __attribute__((warn_unused_result));

/* Ends *fetch without a call of its `fn`, and nulls it; NULL inside is fine. */
void fetch_cancel(struct fetch **fetch);

/* Appends `text`, percent-encoded so that it can be one segment of a path (RFC 3986, 3.3). */
struct buf;
void fetch_escape(struct span text, struct buf *out);

#endif
