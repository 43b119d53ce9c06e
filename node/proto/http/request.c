/* SPDX-License-Identifier: MIT */
#include "node/proto/http/impl.h"

struct span http_path(const struct http_request *request)
{
    return request->path;
}

struct span http_header(const struct http_request *request, const char *name)
{
    for (unsigned i = 0; i < request->field_count; i++) {
        if (span_eq_nocase(request->fields[i].name, span_str(name))) {
            return request->fields[i].value;
        }
    }
    return (struct span){NULL, 0};
}

struct span http_body(const struct http_request *request)
{
    return buf_span(&request->body);
}

const struct address *http_peer(const struct http_request *request)
{
    return &request->peer;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* A '%' that no two digits follow stands for itself. */
static void percent_decode(struct span text, struct buf *out)
{
    char *to = buf_room(out, text.len + 1); /* and a NUL */
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        int high = i + 2 < text.len ? hex_digit(text.ptr[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(text.ptr[i + 2]) : -1;
        if (text.ptr[i] == '%' && low >= 0) {
            to[n++] = (char)(high << 4 | low);
            i += 2;
        } else {
            to[n++] = (char)(text.ptr[i] == '+' ? ' ' : text.ptr[i]);
        }
    }
    buf_grew(out, n);
}

bool http_query(const struct http_request *request, const char *name, struct buf *out)
{
    struct span rest = request->query;
    bool found = false;
    while (rest.len > 0 && !found) {
        struct span value = span_cut(&rest, '&');
        struct span key = span_cut(&value, '=');
        out->len = 0;
        percent_decode(key, out);
        found = span_eq(buf_span(out), span_str(name));
        if (found) {
            out->len = 0;
            percent_decode(value, out);
        }
    }
    if (!found) {
        out->len = 0;
    }
    buf_text(out);
    return found;
}
