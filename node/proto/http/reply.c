/* SPDX-License-Identifier: MIT */
#include "node/proto/http/impl.h"

#include "node/net/net.h"
#include "node/proto/json/scan.h"

#include <http_parser.h>

/* A field is one line, whatever it was made from. */
static void append_value(struct buf *out, struct span value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if ((c >= 0x20 && c != 0x7f) || c == '\t') {
            buf_append(out, span_of(value.ptr + i, 1));
        }
    }
}

void http_reply_field(struct http_request *request, const char *name, struct span value)
{
    buf_printf(&request->reply_fields, "%s: ", name);
    append_value(&request->reply_fields, value);
    buf_append(&request->reply_fields, SPAN("\r\n"));
}

/* The library's names, but for those in which it stayed behind RFC 9110. */
static const char *status_text(int status)
{
    return status == 413 ? "Content Too Large" : http_status_str((enum http_status)status);
}

static void start_head(struct http_request *request, int status, struct buf *out)
{
    buf_printf(out, "HTTP/1.1 %d %s\r\n", status, status_text(status));
    buf_append(out, SPAN("Access-Control-Allow-Origin: *\r\n"));
    buf_append(out, buf_span(&request->reply_fields));
}

static void count(struct http_request *request, int status)
{
    struct metrics *metrics = net_metrics(request->http->server->net);
    metrics_add(metrics, METRIC_HTTP_REQUESTS, 1);
    if (status >= 400) {
        metrics_add(metrics, METRIC_HTTP_ERRORS, 1);
    }
}

static int send_buf(struct conn *conn, struct buf *out)
{
    struct chunk *chunk = chunk_copy(buf_span(out));
    int rc = conn_send(conn, chunk);
    chunk_unref(chunk);
    buf_free(out);
    return rc;
}

static void build(struct http_request *request, int status, const char *type, struct span body,
                  struct buf *out)
{
    start_head(request, status, out);
    if (type != NULL) {
        buf_append(out, SPAN("Content-Type: "));
        append_value(out, span_str(type));
        buf_append(out, SPAN("\r\n"));
    }
    if (status != 204 && status != 304) {
        buf_printf(out, "Content-Length: %zu\r\n", body.len);
    }
    if (request->close) {
        buf_append(out, SPAN("Connection: close\r\n"));
    } else if (request->minor == 0) {
        buf_append(out, SPAN("Connection: keep-alive\r\n"));
    }
    buf_append(out, SPAN("\r\n"));
    if (!request->is_head && status != 204 && status != 304) {
        buf_append(out, body);
    }
}

void http_reply(struct http_request *request, int status, const char *type, struct span body)
{
    struct http_conn *http = request->http;
    if (http == NULL) {
        http_request_free(request);
        return;
    }
    struct buf out = {0};
    request->close = request->close || http->server->draining;
    count(request, status);
    build(request, status, type, body, &out);
    if (send_buf(http->conn, &out) < 0) {
        request->close = true; /* an answer is missing: nothing right can follow */
    }
    bool close = request->close;
    http_request_free(request);
    http_conn_answered(http, close);
}

void http_reply_error(struct http_request *request, int status, const char *format, ...)
{
    struct buf text = {0}, body = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    buf_append(&body, SPAN("{\"error\": "));
    json_quote(buf_span(&text), &body);
    buf_append(&body, SPAN("}\n"));
    http_reply(request, status, "application/json", buf_span(&body));
    buf_free(&text);
    buf_free(&body);
}

struct conn *http_reply_upgrade(struct http_request *request, size_t *message_limit)
{
    struct http_conn *http = request->http;
    struct conn *conn = NULL;
    if (http != NULL) {
        struct buf out = {0};
        *message_limit = http->server->options.ws_message_limit;
        count(request, 101);
        start_head(request, 101, &out);
        buf_append(&out, SPAN("Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n"));
        conn = http_conn_upgrade(http);
        send_buf(conn, &out);
    }
    http_request_free(request);
    return conn;
}

void http_reply_page(struct http_request *request, struct span page)
{
    http_reply_field(request, "Cache-Control", SPAN("no-cache"));
    http_reply_field(request, "Content-Security-Policy",
                     SPAN("default-src 'none'; script-src 'unsafe-inline'; style-src "
                          "'unsafe-inline'; connect-src 'self' ws: wss:; img-src data:; worker-src "
                          "blob:; base-uri 'none'; form-action 'none'"));
    http_reply(request, 200, "text/html; charset=utf-8", page);
}
