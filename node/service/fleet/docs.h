/* SPDX-License-Identifier: MIT */
/* docs: the pages of docs/, as they were when this program was built, at GET /docs?page=NAME: in a
 * browser shown by docs.html, for others their text. */
#ifndef MUSTER_NODE_SERVICE_FLEET_DOCS_H
#define MUSTER_NODE_SERVICE_FLEET_DOCS_H

#include "node/proto/http/http.h"

struct fleet_docs_page {
    const char *name; /* operate, of docs/operate.md */
    const unsigned char *text;
    size_t len;
};

/* Made at build time (cmake/embed_docs.cmake); ends with a name that is NULL. */
extern const struct fleet_docs_page fleet_docs_pages[];

void fleet_docs_route(struct http_server *server);

/* Whether a browser asks that wants to show a page. The answer says that it depends on that. */
bool fleet_docs_wants_html(struct http_request *request);

#endif
