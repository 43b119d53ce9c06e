/* SPDX-License-Identifier: MIT */
/* auth: does a request present the secret that it should know? The one place where it is decided, and
 * the one answer when it does not. */
#ifndef MUSTER_NODE_PROTO_HTTP_AUTH_H
#define MUSTER_NODE_PROTO_HTTP_AUTH_H

#include "node/proto/http/http.h"
#include "store/base/span.h"

#include <stdbool.h>

/* What an empty secret means. */
enum http_auth {
    HTTP_AUTH_ALWAYS, /* every request is refused */
    HTTP_AUTH_IF_SET, /* no secret is asked for */
};

/* Equality whose time depends on the length of `given` alone. An empty `secret` equals nothing. */
bool http_secret_eq(struct span given, struct span secret);

/* Is `given` one of `tokens`, each of which is a line? No field of a request holds a line end. Each is
 * compared, so that the time does not say which one it was. */
bool http_token_eq(struct span given, struct span tokens);

/* True when the request carries "Authorization: Bearer <secret>" (RFC 6750, 2.1), or the secret as
 * the query parameter of that name (2.3; browsers give a WebSocket no header; NULL: the query does
 * not count; addresses end in access logs, so that is counted and said in the log, and nothing where
 * http_options.no_url_tokens is set). Otherwise it is answered with 401 and WWW-Authenticate, and must not be touched. */
bool http_authorize(struct http_request *request, enum http_auth when, const char *secret,
                    const char *query) __attribute__((warn_unused_result));

#endif
