/* SPDX-License-Identifier: MIT */
/* http: HTTP/1.1 server (RFC 9112) over a conn: keep-alive, bodies by length or chunked, limits,
 * time-outs, CORS, JSON errors.
 *
 *     conn bytes -> request whole -> route -> handler -> http_reply, now or later -> next request
 *
 * Errors made here: 400 malformed, 403 a WebSocket for a page of another origin, 404 no such path,
 * 405 with Allow, 408 too slow, 411 a length is needed, 413 body too large, 421 for our own pages and asked
 * under a name that may be another site's, 426 WebSocket wanted, 431 header too large, 501 unknown transfer coding, 503 too many connections, 505 version. The
 * body is {"error": "..."} each time. */
#ifndef MUSTER_NODE_PROTO_HTTP_HTTP_H
#define MUSTER_NODE_PROTO_HTTP_HTTP_H

#include "node/net/cidr.h"
#include "node/net/conn.h"
#include "store/base/buf.h"

struct http_server;
struct http_request;

struct http_options {
    size_t header_limit; /* bytes of request line and header fields */
    size_t body_limit;   /* bytes */
    uint32_t request_ms; /* time for a request to come in whole, from its first byte (or accept) */
    uint32_t keep_alive_ms;          /* silence between requests */
    size_t ws_message_limit;         /* bytes of a WebSocket message, after inflating */
    const struct cidr_list *trusted; /* proxies that are believed; borrowed; NULL: none */
    const char
        *origins;  /* of pages that may open WebSockets and write, with commas; borrowed for the
                              * server's life; NULL or empty: any */
    bool watchers; /* is for clients that watch the node: they come in when it is full, too */
    const char *
        hosts; /* names under which what is for own pages may be asked for, with commas, or "*"; borrowed;
                        * NULL or empty: with same_origin only such as no site has, else any */
    bool same_origin;    /* no page but this server's own may ask for anything */
    bool guarded_writes; /* with no origins, no other page may write (http_guard) */
    bool no_url_tokens;  /* a token in the address does not count (http_authorize) */
};

/* Pages of which origin may ask for a path? Requests without the field Origin come from no other
 * site's page, and always may. */
enum http_origin {
    HTTP_ORIGIN_ANY,    /* any, and may read the answer */
    HTTP_ORIGIN_LISTED, /* those of http_options.origins; where there are none, the server's own */
    HTTP_ORIGIN_OWN,    /* the server's own */
    HTTP_ORIGIN_PROBE,  /* as ANY, and under any name: what balancers ask for */
};

/* Must end with exactly one http_reply, http_reply_error or ws_accept per request, inside or later.
 */
typedef void http_fn(void *arg, struct http_request *request);

/* New; `net` is borrowed. */
struct http_server *http_server_new(struct net *net, const struct http_options *options);

/* Frees; connections must be gone (net_free first). */
void http_server_free(struct http_server **server);

/* A listener_fn: serves the connection, or answers 503 when the net does not admit it. */
void http_server_accept(void *server, int fd, const struct address *peer);

/* From now on answers carry "Connection: close". Idle connections are net_drain's to close. */
void http_server_drain(struct http_server *server);

/* Serves `path` (in any case of letters; one slash more at the end is the same) for `method` ("GET" also HEAD).
 * Strings are borrowed for the server's life. A request to a known path with another method gets
 * 405, OPTIONS gets the CORS preflight answer. */
void http_route(struct http_server *server, const char *method, const char *path, http_fn *fn,
                void *arg);

/* Serves WebSocket handshakes (RFC 6455, 4.2) on `path`: `fn` is called only with a valid one.
 * Others get 400 or 426. May stand beside a "GET" route of the same path, which then gets plain
 * requests. */
void http_route_websocket(struct http_server *server, const char *path, http_fn *fn, void *arg);

/* From now on `path`, whose routes are there, is for pages of that origin only; others get 403. */
void http_guard(struct http_server *server, const char *path, enum http_origin origin);

/* Of the request, borrowed until it is replied to. Header names in lower case; absent: ptr NULL.
 * Several fields of one name are joined with ", ". */
struct span http_path(const struct http_request *request);
struct span http_header(const struct http_request *request, const char *name);
struct span http_body(const struct http_request *request);
/* The client, also where a trusted proxy stands between. */
const struct address *http_peer(const struct http_request *request);

/* The first value of query parameter `name`, percent-decoded ('+' is a space) and NUL-ended, in
 * `out` (replaced). false when it is not there. */
bool http_query(const struct http_request *request, const char *name, struct buf *out);

/* Adds a field to the answer to come; strings are copied; bytes that may not stand in one are
 * dropped. */
void http_reply_field(struct http_request *request, const char *name, struct span value);

/* Answers and gives the request back. `type` is the Content-Type. Harmless when the client has
 * gone. */
void http_reply(struct http_request *request, int status, const char *type, struct span body);

/* Answers with an HTML page of this program, whose scripts and styles stand in it: it loads nothing
 * from elsewhere and talks to this server alone. */
void http_reply_page(struct http_request *request, struct span page);

/* Answers {"error": "..."} with the formatted text. */
void http_reply_error(struct http_request *request, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
