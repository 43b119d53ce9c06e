/* SPDX-License-Identifier: MIT */
/* host: by which names may this server be asked? For the files of this folder only. */
#ifndef MUSTER_NODE_PROTO_HTTP_HOST_H
#define MUSTER_NODE_PROTO_HTTP_HOST_H

#include "node/proto/http/http.h"

#include <stdbool.h>

/* May what is for this server's own pages be had under the name that the request asks by? */
bool http_host_may(const struct http_request *request, const struct http_options *options);

#endif
