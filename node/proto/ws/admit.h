/* SPDX-License-Identifier: MIT */
/* admit: may this WebSocket see what a secret guards? As http_authorize, and for pages in a browser, which
 * gives a WebSocket no header but the list of protocols: "muster, bearer.<base64url of the token>"
 * (docs/protocols.md#tokens-of-the-pages). */
#ifndef MUSTER_NODE_PROTO_WS_ADMIT_H
#define MUSTER_NODE_PROTO_WS_ADMIT_H

#include "node/proto/http/http.h"

#include <stdbool.h>

/* True: the handshake may go on; that of a page will be answered with protocol "muster". False: it
 * was answered and given back, a page's with close code 4401 (a browser tells its page no HTTP status),
 * others with 401. An empty `secret` guards nothing. */
bool ws_admits(struct http_request *request, const char *secret)
    __attribute__((warn_unused_result));

#endif
