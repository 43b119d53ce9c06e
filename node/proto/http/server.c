/* SPDX-License-Identifier: MIT */
#include "node/net/net.h"
#include "node/proto/http/host.h"
#include "node/proto/http/impl.h"
#include "node/proto/http/origin.h"

#include <http_parser.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

struct http_server *http_server_new(struct net *net, const struct http_options *options)
{
    struct http_server *server = mem_zalloc(sizeof(*server));
    http_parser_set_max_header_size(UINT32_MAX); /* the limit is kept by conn.c */
    server->net = net;
    server->options = *options;
    return server;
}

void http_server_free(struct http_server **server)
{
    free(*server);
    *server = NULL;
}

/* ------------------------------------------------------------------------------ accept, drain */

/* The socket's buffer is fresh and takes so little at once; the request, which may be there
 * already, is read so that closing does not reset the connection before the answer is. */
static void refuse(const struct http_server *server, int fd)
{
    static const char body[] = "{\"error\": \"too many connections\"}\n";
    char answer[512], request[4096];
    int len = snprintf(answer, sizeof(answer),
                       "HTTP/1.1 503 Service Unavailable\r\n"
                       "%s"
                       "Content-Type: application/json\r\n"
                       "Content-Length: %zu\r\n"
                       "Retry-After: 5\r\n"
                       "Connection: close\r\n\r\n%s",
                       server->options.same_origin ? "" : "Access-Control-Allow-Origin: *\r\n",
                       sizeof(body) - 1, body);
    ssize_t ignored = send(fd, answer, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    ignored = recv(fd, request, sizeof(request), MSG_DONTWAIT);
    (void)ignored;
    close(fd);
}

void http_server_accept(void *arg, int fd, const struct address *peer)
{
    struct http_server *server = arg;
    bool watchers = server->options.watchers;
    if (watchers ? net_admit_watcher(server->net) : net_admit(server->net, peer)) {
        http_conn_new(server, fd, peer);
    } else {
        refuse(server, fd);
    }
}

void http_server_drain(struct http_server *server)
{
    server->draining = true;
}

/* ------------------------------------------------------------------------------------- routes */

static void add_route(struct http_server *server, struct http_route route)
{
    if (server->route_count == HTTP_MOST_ROUTES) {
        fprintf(stderr, "muster: too many HTTP routes\n");
        abort();
    }
    server->routes[server->route_count++] = route;
}

void http_route(struct http_server *server, const char *method, const char *path, http_fn *fn,
                void *arg)
{
    add_route(server, (struct http_route){method, path, fn, arg, HTTP_ORIGIN_ANY});
}

void http_route_websocket(struct http_server *server, const char *path, http_fn *fn, void *arg)
{
    add_route(server, (struct http_route){NULL, path, fn, arg, HTTP_ORIGIN_ANY});
}

static bool same_path(const struct http_route *route, struct span path)
{
    struct span want = span_str(route->path);
    if (path.len == want.len + 1 && path.ptr[want.len] == '/') {
        path.len--;
    }
    return span_eq_nocase(path, want);
}

void http_guard(struct http_server *server, const char *path, enum http_origin origin)
{
    for (unsigned i = 0; i < server->route_count; i++) {
        if (same_path(&server->routes[i], span_str(path))) {
            server->routes[i].origin = origin;
        }
    }
}

static enum http_origin guard_of(const struct http_server *server, struct span path)
{
    for (unsigned i = 0; i < server->route_count; i++) {
        if (same_path(&server->routes[i], path)) {
            return server->routes[i].origin;
        }
    }
    return HTTP_ORIGIN_ANY;
}

/* The route of that path for `method`; NULL asks for the WebSocket one. */
static const struct http_route *find(const struct http_server *server, struct span path,
                                     const struct span *method)
{
    for (unsigned i = 0; i < server->route_count; i++) {
        const struct http_route *route = &server->routes[i];
        bool wanted =
            method == NULL ? route->method == NULL : span_eq(*method, span_str(route->method));
        if (wanted && same_path(route, path)) {
            return route;
        }
    }
    return NULL;
}

/* Appends what the path can be asked for, "GET, HEAD, OPTIONS". false: there is no such path. */
static bool list_methods(const struct http_server *server, struct span path, struct buf *out)
{
    bool get = false;
    for (unsigned i = 0; i < server->route_count; i++) {
        const struct http_route *route = &server->routes[i];
        const char *method = route->method != NULL ? route->method : "GET";
        if (!same_path(route, path) || (get && strcmp(method, "GET") == 0)) {
            continue;
        }
        get = get || strcmp(method, "GET") == 0;
        buf_printf(out, "%s%s, ", method, strcmp(method, "GET") == 0 ? ", HEAD" : "");
    }
    if (out->len == 0) {
        return false;
    }
    buf_append(out, SPAN("OPTIONS"));
    return true;
}

/* A list of tokens may be given back as it came; anything else is not. */
static bool is_token_list(struct span list)
{
    while (list.len > 0) {
        if (!http_is_token(span_trim(span_cut(&list, ',')))) {
            return false;
        }
    }
    return true;
}

static void add_preflight_fields(struct http_request *request, struct span methods)
{
    struct span asked = http_header(request, "access-control-request-headers");
    http_reply_field(request, "Allow", methods);
    http_reply_field(request, "Access-Control-Allow-Methods", methods);
    if (asked.len > 0 && is_token_list(asked)) {
        http_reply_field(request, "Access-Control-Allow-Headers", asked);
    }
    http_reply_field(request, "Access-Control-Max-Age", SPAN("86400"));
}

static struct http_error route_elsewhere(struct http_server *server, struct http_request *request,
                                         bool *preflight)
{
    struct buf methods = {0};
    struct http_error error = HTTP_OK;
    bool options = span_eq(request->method, SPAN("OPTIONS"));
    if (options && span_eq(request->path, SPAN("*"))) {
        *preflight = true; /* about the server as a whole */
    } else if (!list_methods(server, request->path, &methods)) {
        error = http_error(404, "no such path");
    } else if (options) {
        *preflight = true;
        add_preflight_fields(request, buf_span(&methods));
    } else {
        http_reply_field(request, "Allow", buf_span(&methods));
        error = http_error(405, "the path is not served for this method");
    }
    buf_free(&methods);
    return error;
}

struct http_error http_server_route(struct http_server *server, struct http_request *request,
                                    bool *preflight)
{
    struct span get = SPAN("GET");
    bool wants_get = request->is_head || span_eq(request->method, get);
    enum http_origin guard = guard_of(server, request->path);
    request->own_only = guard == HTTP_ORIGIN_OWN || server->options.same_origin;
    if (!http_origin_may(request, &server->options, guard)) {
        request->own_only = true;
        return http_error(403, "pages of this origin may not ask for this here");
    }
    if (request->own_only && guard != HTTP_ORIGIN_PROBE &&
        !http_host_may(request, &server->options)) {
        return http_error(421, "this server is not known by that name: see admin-hosts");
    }
    const struct http_route *websocket = find(server, request->path, NULL);
    if (websocket != NULL && http_wants_websocket(request)) {
        request->route = websocket;
        return http_handshake_check(request, &server->options);
    }
    request->route = find(server, request->path, wants_get ? &get : &request->method);
    if (request->route != NULL) {
        return HTTP_OK;
    }
    if (websocket != NULL && wants_get) {
        http_reply_field(request, "Upgrade", SPAN("websocket"));
        http_reply_field(request, "Connection", SPAN("Upgrade"));
        return http_error(426, "this path speaks WebSocket");
    }
    return route_elsewhere(server, request, preflight);
}
