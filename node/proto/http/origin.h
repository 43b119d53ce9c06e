/* SPDX-License-Identifier: MIT */
/* origin: which pages may ask; for the files of this folder only. */
#ifndef MUSTER_NODE_PROTO_HTTP_ORIGIN_H
#define MUSTER_NODE_PROTO_HTTP_ORIGIN_H

#include "node/proto/http/http.h"

#include <stdbool.h>

/* May the page that asks, if one does, ask for a path that is guarded so? */
bool http_origin_may(const struct http_request *request, const struct http_options *options,
                     enum http_origin guard);

/* May a page of its origin, if one asks, open WebSockets? */
bool http_origin_may_connect(const struct http_request *request,
                             const struct http_options *options);

#endif
