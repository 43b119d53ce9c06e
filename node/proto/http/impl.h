/* SPDX-License-Identifier: MIT */
/* What the http_*.c files share, and ws.c for taking a connection over; no other file includes it.
 *
 *     server.c    routes, accept, drain
 *     conn.c      one connection: bytes to requests, their answers, time-outs, keep-alive
 *     head.c      where a head ends, and what stands in it
 *     body.c      bodies by length and chunked
 *     request.c   what a handler sees of a request
 *     reply.c     how an answer is written
 *     origin.c    may that page ask?
 *     handshake.c is it a WebSocket handshake? */
#ifndef MUSTER_NODE_PROTO_HTTP_IMPL_H
#define MUSTER_NODE_PROTO_HTTP_IMPL_H

#include "node/proto/http/http.h"
#include "node/proto/http/lines.h"
#include "store/base/mem.h"

enum {
    HTTP_MOST_ROUTES = 64,
    HTTP_MOST_FIELDS = 100,
    HTTP_LINGER_MS = 2000, /* for the peer to read an answer after which we close */
};

struct http_route {
    const char *method; /* NULL: WebSocket handshakes */
    const char *path;
    http_fn *fn;
    void *arg;
    enum http_origin origin; /* of the path: the same for all its routes */
};

struct http_server {
    struct net *net;
    struct http_options options;
    struct http_route routes[HTTP_MOST_ROUTES];
    unsigned route_count;
    bool draining;
    uint64_t url_token_ms; /* monotonic, of the last line about a token in an address; 0: none */
};

/* An HTTP connection: all that an idle one owns beside its conn. */
struct http_conn {
    struct http_server *server;
    struct conn *conn;
    struct buf *early; /* of a trusted proxy: bytes that may be a PROXY header; NULL: no more */
    struct http_request *request; /* from its first byte to its answer */
    bool feeding;                 /* within on_data */
    bool upgraded;                /* another protocol has the conn */
    bool closing;                 /* what still comes in does not count */
    bool crowded;                 /* its client has too many connections */
    uint8_t turn_requests;        /* answered since the last read */
    uint64_t answered_ms;         /* monotonic, of the last answer; 0: none yet */
};

struct http_field {
    struct span name, value; /* within the request's head, or joined */
};

/*     IN_HEAD --> IN_BODY (of a known length) or IN_CHUNKS, when there is one --> AT_END
 *
 * AT_END the handler has it. */
enum http_stage { HTTP_IN_HEAD, HTTP_IN_BODY, HTTP_IN_CHUNKS, HTTP_AT_END };

struct http_request {
    struct http_conn *http; /* NULL: the client has gone */
    struct address peer;
    enum http_stage stage;
    struct http_lines lines;
    struct buf head; /* as received */
    struct buf body;
    struct buf joined;       /* values of fields that came several times */
    struct buf reply_fields; /* as they go out */
    struct http_field *fields;
    unsigned field_count;
    struct span method, target, path, query;
    struct span authority; /* of an absolute target, else the field Host (RFC 9112, 3.2.2) */
    uint64_t body_left;
    struct http_chunks chunks;
    const struct http_route *route;
    uint8_t minor; /* version 1.minor */
    bool is_head;
    bool own_only; /* no other site's page may read the answer */
    bool close;    /* after the answer */
};

/* The answer that an error calls for; status 0: none. `text` is a literal. */
struct http_error {
    int status;
    const char *text;
};

#define HTTP_OK ((struct http_error){0, NULL})

static inline struct http_error http_error(int status, const char *text)
{
    return (struct http_error){status, text};
}

/* ------------------------------------------------------------------------------ head.c */

/* Reads the whole head into `request` and decides how its body is framed. */
struct http_error http_head_read(struct http_request *request);

/* Is `token` in the comma-separated `list`? Without regard to case. */
bool http_list_has(struct span list, struct span token);

bool http_is_token(struct span text);

/* ------------------------------------------------------------------------------ body.c */

/* Takes body bytes, as many as belong to it (*used); the stage becomes HTTP_AT_END at its end. */
struct http_error http_body_read(struct http_request *request, size_t limit, struct span bytes,
                                 size_t *used);

/* ---------------------------------------------------------------------------- server.c */

/* Finds the route, or says why there is none. May add fields to the answer. `*preflight`: the
 * answer is that of a CORS preflight. */
struct http_error http_server_route(struct http_server *server, struct http_request *request,
                                    bool *preflight);

/* ------------------------------------------------------------------------- handshake.c */

bool http_wants_websocket(const struct http_request *request);
struct http_error http_handshake_check(struct http_request *request,
                                       const struct http_options *options);

/* Appends the Sec-WebSocket-Accept that answers `key`. */
void http_handshake_accept(struct span key, struct buf *out);

/* ------------------------------------------------------------------------------ conn.c */

void http_conn_new(struct http_server *server, int fd, const struct address *peer);

/* Sends 101 and frees the request: the conn, paused, with its handler still to be set; or NULL when
 * the client has gone. */
struct conn *http_reply_upgrade(struct http_request *request, size_t *message_limit);

void http_request_free(struct http_request *request);

/* ----------------------------------------------------------------------------- reply.c */

/* Appends the first line of an answer and the fields that any answer has. */
void http_reply_begin(struct http_request *request, int status, struct buf *out);

/* Appends a whole answer; `type` is NULL when there is no body. */
void http_reply_print(struct http_request *request, int status, const char *type, struct span body,
                      struct buf *out);

#endif
