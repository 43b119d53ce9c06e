/* bearer: is what a client presents the secret it should know? */
#ifndef MUSTER_NODE_PROTO_HTTP_AUTH_H
#define MUSTER_NODE_PROTO_HTTP_AUTH_H

#include "node/proto/http/http.h"
#include "store/base/span.h"

#include <stdbool.h>

/* Equality whose time depends on the length of `given` alone. An empty `secret` equals nothing. */
bool http_secret_eq(struct span given, struct span secret);

/* The request carries "Authorization: Bearer <secret>" (RFC 6750, 2.1). */
bool http_bearer_is(const struct http_request *request, struct span secret);

/* May this request see what `secret` guards? An empty secret guards nothing; else it is shown as
 * "Authorization: Bearer <secret>" or as ?token=. False: it was answered 401, and given back. */
bool http_admits(struct http_request *request, struct span secret);

#endif
