/* SPDX-License-Identifier: MIT */
/* The head of a request. Whole lines are checked byte by byte before the parser library sees them,
 * since Debian builds it without its strict checks: it would take blanks in names, a CR without LF,
 * folded lines. */
#include "node/proto/http/impl.h"
#include "store/base/decimal.h"

#include <http_parser.h>

static bool may_stand(char c)
{
    return (unsigned char)c >= 0x20 ? c != 0x7f : c == '\t' || c == '\r' || c == '\n';
}

/* One byte. Below 0: it may not stand there; 1: it ends the section. */
static int line_step(struct http_lines *lines, char c)
{
    bool bare = (lines->last == '\r') != (c == '\n');
    bool folded = lines->begun && !lines->filled && (c == ' ' || c == '\t');
    if (!may_stand(c) || bare || folded) {
        return -1;
    }
    lines->last = c;
    if (c == '\r') {
        return 0;
    }
    if (c != '\n') {
        lines->filled = true;
        lines->begun = true;
        return 0;
    }
    bool empty = !lines->filled;
    lines->filled = false;
    return empty ? 1 : 0;
}

long http_lines_end(struct http_lines *lines, struct span bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        int rc = line_step(lines, bytes.ptr[i]);
        if (rc != 0) {
            return rc < 0 ? -1 : (long)i + 1;
        }
    }
    return 0;
}

bool http_is_token(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
        if (!alnum && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL)) {
            return false;
        }
    }
    return text.len > 0;
}

bool http_list_has(struct span list, struct span token)
{
    while (list.len > 0) {
        if (span_eq_nocase(span_trim(span_cut(&list, ',')), token)) {
            return true;
        }
    }
    return false;
}

/* -------------------------------------------------------------------------- the parser library */

struct head {
    struct http_request *request;
    struct http_error error;
};

static int fail(http_parser *parser, int status, const char *text)
{
    ((struct head *)parser->data)->error = http_error(status, text);
    return 1;
}

static int on_url(http_parser *parser, const char *at, size_t len)
{
    struct head *head = parser->data;
    struct span *target = &head->request->target;
    *target = target->ptr == NULL ? span_of(at, len) : span_of(target->ptr, target->len + len);
    return 0;
}

static int on_field(http_parser *parser, const char *at, size_t len)
{
    struct http_request *request = ((struct head *)parser->data)->request;
    if (request->field_count == HTTP_MOST_FIELDS) {
        return fail(parser, 431, "too many header fields");
    }
    struct http_field *field = &request->fields[request->field_count++];
    *field = (struct http_field){.name = span_of(at, len), .value = span_of(at + len, 0)};
    return http_is_token(field->name) ? 0 : fail(parser, 400, "a header name is malformed");
}

static int on_value(http_parser *parser, const char *at, size_t len)
{
    struct http_request *request = ((struct head *)parser->data)->request;
    struct http_field *field = &request->fields[request->field_count - 1];
    field->value = span_trim(span_of(at, len));
    return 0;
}

/* Bodies are read by body.c: 2 makes the library stop behind the head. */
static int on_head(http_parser *parser)
{
    (void)parser;
    return 2;
}

static struct http_error parse_error(const http_parser *parser)
{
    switch (HTTP_PARSER_ERRNO(parser)) {
    case HPE_HEADER_OVERFLOW:
        return http_error(431, "the header is too large");
    case HPE_INVALID_METHOD:
        return http_error(400, "unknown method");
    default:
        return http_error(400, "malformed request");
    }
}

/* The library as Debian builds it takes "HTTX/1.1" and any number of blanks. */
static bool line_is_sound(const struct http_request *request)
{
    struct span head = buf_span(&request->head), target = request->target;
    struct span version = SPAN(" HTTP/");
    size_t start = (size_t)(target.ptr - head.ptr);
    struct span behind = span_skip(head, start + target.len);
    return start == request->method.len + 1 && span_starts_with(behind, version) &&
           behind.len > version.len + 3 && behind.ptr[version.len + 1] == '.' &&
           behind.ptr[version.len + 3] == '\r';
}

static struct http_error parse(struct http_request *request)
{
    static const http_parser_settings settings = {.on_url = on_url,
                                                  .on_header_field = on_field,
                                                  .on_header_value = on_value,
                                                  .on_headers_complete = on_head};
    struct head head = {.request = request, .error = HTTP_OK};
    http_parser parser;
    http_parser_init(&parser, HTTP_REQUEST);
    parser.data = &head;
    size_t used = http_parser_execute(&parser, &settings, request->head.ptr, request->head.len);
    if (head.error.status != 0) {
        return head.error;
    }
    if (HTTP_PARSER_ERRNO(&parser) != HPE_OK) {
        return parse_error(&parser);
    }
    if (parser.http_major != 1) {
        return http_error(parser.http_major == 0 ? 400 : 505,
                          "the version spoken here is HTTP/1.1");
    }
    if (used != request->head.len || !parser.upgrade) {
        return http_error(400, "malformed request");
    }
    request->method = span_str(http_method_str((enum http_method)parser.method));
    request->minor = parser.http_minor > 0 ? 1 : 0;
    request->is_head = parser.method == HTTP_HEAD;
    return line_is_sound(request) ? HTTP_OK : http_error(400, "malformed request line");
}

/* ---------------------------------------------------------------------------------- its meaning */

static void lower_case(struct span name)
{
    char *at = (char *)(uintptr_t)name.ptr; /* within request->head, which is ours */
    for (size_t i = 0; i < name.len; i++) {
        if (at[i] >= 'A' && at[i] <= 'Z') {
            at[i] = (char)(at[i] | 0x20);
        }
    }
}

static unsigned count_fields(const struct http_request *request, struct span name)
{
    unsigned n = 0;
    for (unsigned i = 0; i < request->field_count; i++) {
        n += span_eq(request->fields[i].name, name) ? 1 : 0;
    }
    return n;
}

/* Gives the first field of each name the values of all of that name, "a, b". */
static void join_fields(struct http_request *request)
{
    struct buf *joined = &request->joined;
    /* Room for all at once: spans into `joined` must stay good. Each field is joined once at most.
     */
    buf_room(joined, request->head.len + 2 * (size_t)request->field_count);
    for (unsigned i = 0; i < request->field_count; i++) {
        struct span name = request->fields[i].name;
        bool is_first = true;
        for (unsigned j = 0; j < i && is_first; j++) {
            is_first = !span_eq(request->fields[j].name, name);
        }
        if (!is_first || count_fields(request, name) == 1) {
            continue;
        }
        size_t start = joined->len;
        for (unsigned j = i; j < request->field_count; j++) {
            if (span_eq(request->fields[j].name, name)) {
                buf_append(joined, j > i ? SPAN(", ") : SPAN(""));
                buf_append(joined, request->fields[j].value);
            }
        }
        request->fields[i].value = span_of(joined->ptr + start, joined->len - start);
    }
}

static bool host_is_sound(struct span host)
{
    for (size_t i = 0; i < host.len; i++) {
        if ((unsigned char)host.ptr[i] <= ' ' || strchr(",/?#@\\\"<>", host.ptr[i]) != NULL) {
            return false;
        }
    }
    return true;
}

static struct http_error check_host(struct http_request *request)
{
    unsigned hosts = count_fields(request, SPAN("host"));
    if (hosts > 1 || (hosts == 0 && request->minor == 1)) {
        return http_error(400, "one Host header is needed");
    }
    if (hosts == 1 && !host_is_sound(http_header(request, "host"))) {
        return http_error(400, "the Host header is malformed");
    }
    return HTTP_OK;
}

/* Takes "http://authority" from the beginning of a target in absolute-form. false: it is malformed. */
static bool cut_authority(struct span *target, struct span *authority)
{
    bool absolute = target->len >= 7 && strncasecmp(target->ptr, "http://", 7) == 0;
    bool secure = target->len >= 8 && strncasecmp(target->ptr, "https://", 8) == 0;
    if (!absolute && !secure) {
        return true;
    }
    struct span rest = span_skip(*target, absolute ? 7 : 8);
    size_t len = 0;
    while (len < rest.len && strchr("/?#", rest.ptr[len]) == NULL) {
        len++;
    }
    *authority = span_of(rest.ptr, len);
    *target = span_skip(rest, len);
    return len > 0 && host_is_sound(*authority);
}

/* origin-form, absolute-form or "*". */
static struct http_error split_target(struct http_request *request)
{
    struct span rest = request->target;
    for (size_t i = 0; i < rest.len; i++) {
        if ((unsigned char)rest.ptr[i] <= ' ') {
            return http_error(400, "the request target is malformed");
        }
    }
    request->authority = http_header(request, "host");
    if (!cut_authority(&rest, &request->authority)) {
        return http_error(400, "the authority of the request target is malformed");
    }
    struct span no_fragment = span_cut(&rest, '#');
    request->path = span_cut(&no_fragment, '?');
    request->query = no_fragment;
    if (request->path.len == 0) {
        request->path = SPAN("/");
    }
    return HTTP_OK;
}

static bool needs_length(struct span method)
{
    return span_eq(method, SPAN("POST")) || span_eq(method, SPAN("PUT")) ||
           span_eq(method, SPAN("PATCH"));
}

/* How the body is framed (RFC 9112, 6.3), refusing whatever two readers could take in two ways. */
static struct http_error frame_body(struct http_request *request)
{
    struct span coding = http_header(request, "transfer-encoding");
    struct span length = http_header(request, "content-length");
    if (coding.ptr != NULL && length.ptr != NULL) {
        return http_error(400, "both Content-Length and Transfer-Encoding");
    }
    if (coding.ptr != NULL && request->minor == 0) {
        return http_error(400, "HTTP/1.0 has no Transfer-Encoding");
    }
    if (coding.ptr != NULL && !span_eq_nocase(coding, SPAN("chunked"))) {
        return http_error(501, "the only transfer coding here is chunked");
    }
    if (coding.ptr != NULL) {
        request->stage = HTTP_IN_CHUNKS;
        return HTTP_OK;
    }
    if (length.ptr == NULL) {
        request->stage = HTTP_AT_END;
        return needs_length(request->method) ? http_error(411, "a length is needed") : HTTP_OK;
    }
    if (!decimal_read(length, INT64_MAX, &request->body_left)) {
        return http_error(400, "Content-Length is malformed");
    }
    request->stage = request->body_left > 0 ? HTTP_IN_BODY : HTTP_AT_END;
    return HTTP_OK;
}

struct http_error http_head_read(struct http_request *request)
{
    request->fields = mem_alloc(HTTP_MOST_FIELDS * sizeof(*request->fields));
    struct http_error error = parse(request);
    for (unsigned i = 0; i < request->field_count; i++) {
        lower_case(request->fields[i].name);
    }
    if (error.status != 0) {
        return error;
    }
    join_fields(request);
    struct span connection = http_header(request, "connection");
    request->close = request->minor == 0 ? !http_list_has(connection, SPAN("keep-alive"))
                                         : http_list_has(connection, SPAN("close"));
    error = check_host(request);
    if (error.status != 0) {
        return error;
    }
    error = split_target(request);
    return error.status == 0 ? frame_body(request) : error;
}
