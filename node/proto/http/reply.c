/* SPDX-License-Identifier: MIT */
#include "node/proto/http/impl.h"

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

void http_reply_begin(struct http_request *request, int status, struct buf *out)
{
    buf_printf(out, "HTTP/1.1 %d %s\r\n", status, status_text(status));
    buf_append(out, request->own_only ? SPAN("Cross-Origin-Resource-Policy: same-origin\r\n")
                                      : SPAN("Access-Control-Allow-Origin: *\r\n"));
    buf_append(out, buf_span(&request->reply_fields));
}

void http_reply_print(struct http_request *request, int status, const char *type, struct span body,
                      struct buf *out)
{
    http_reply_begin(request, status, out);
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
