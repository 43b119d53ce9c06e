/* SPDX-License-Identifier: MIT */
#include "node/service/fleet/docs.h"

#include "node/service/fleet/page.h"

#include <string.h>

bool fleet_docs_wants_html(struct http_request *request)
{
    struct span accept = http_header(request, "accept");
    http_reply_field(request, "Vary", SPAN("Accept"));
    return accept.ptr != NULL && memmem(accept.ptr, accept.len, "text/html", 9) != NULL;
}

static const struct fleet_docs_page *find(struct span name)
{
    for (const struct fleet_docs_page *page = fleet_docs_pages; page->name != NULL; page++) {
        if (span_eq(name, span_str(page->name))) {
            return page;
        }
    }
    return NULL;
}

static void reply(struct http_request *request, struct span name)
{
    const struct fleet_docs_page *page = find(name);
    if (page == NULL) {
        http_reply_error(request, 404, "there is no such page");
    } else if (fleet_docs_wants_html(request)) {
        http_reply_page(request, span_of(page_docs, page_docs_size));
    } else {
        http_reply(request, 200, "text/plain; charset=utf-8",
                   span_of((const char *)page->text, page->len));
    }
}

static void on_page(void *arg, struct http_request *request)
{
    (void)arg;
    struct buf name = {0};
    bool named = http_query(request, "page", &name);
    reply(request, named ? span_str(buf_text(&name)) : SPAN("operate"));
    buf_free(&name);
}

/* Where the page of operators was at first. */
static void on_operate(void *arg, struct http_request *request)
{
    (void)arg;
    reply(request, SPAN("operate"));
}

void fleet_docs_route(struct http_server *server)
{
    http_route(server, "GET", "/docs", on_page, NULL);
    http_route(server, "GET", "/docs/operate", on_operate, NULL);
}
