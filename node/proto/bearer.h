/* bearer: is what a client presents the secret it should know? */
#ifndef MUSTER_NODE_PROTO_BEARER_H
#define MUSTER_NODE_PROTO_BEARER_H

#include "node/proto/http.h"
#include "store/base/span.h"

#include <stdbool.h>

/* Equality whose time depends on the length of `given` alone. An empty `secret` equals nothing. */
bool secret_eq(struct span given, struct span secret);

/* The request carries "Authorization: Bearer <secret>" (RFC 6750, 2.1). */
bool bearer_is(const struct http_request *request, struct span secret);

/* May this request see what `secret` guards? An empty secret guards nothing. It may be shown as
 * "Authorization: Bearer", as ?token=, or by a page's WebSocket in the only field that a browser lets it
 * set: the list of protocols, "muster, bearer.<base64url of the token>" (docs/protocols.md#tokens-of-pages).
 * Such a handshake is answered with protocol "muster" when it may go on.
 *
 * False: it was answered and given back, a page's WebSocket with close code 4401 (a browser tells its page
 * no HTTP status), others with 401. */
bool bearer_admits(struct http_request *request, struct span secret);

#endif
