/* SPDX-License-Identifier: MIT */
#include "node/proto/http/auth.h"

#include "node/core/log.h"
#include "node/net/net.h"
#include "node/proto/http/impl.h"
#include "store/base/clock.h"

enum { URL_TOKEN_LINE_MS = 60 * 60 * 1000 }; /* so often at most it is said */

bool http_secret_eq(struct span given, struct span secret)
{
    if (secret.len == 0) {
        return false;
    }
    unsigned char differ = given.len != secret.len;
    for (size_t i = 0; i < given.len; i++) {
        differ |= (unsigned char)(given.ptr[i] ^ secret.ptr[i % secret.len]);
    }
    return differ == 0;
}

bool http_token_eq(struct span given, struct span tokens)
{
    bool same = false;
    for (size_t i = 0; i < tokens.len;) {
        size_t end = i;
        while (end < tokens.len && tokens.ptr[end] != '\r' && tokens.ptr[end] != '\n') {
            end++;
        }
        same |= http_secret_eq(given, span_of(tokens.ptr + i, end - i));
        i = end + 1;
    }
    return same;
}

static bool has_bearer(const struct http_request *request, struct span secret)
{
    struct span field = http_header(request, "authorization");
    struct span scheme = span_cut(&field, ' ');
    return span_eq_nocase(scheme, SPAN("Bearer")) && http_token_eq(span_trim(field), secret);
}

static bool has_query(const struct http_request *request, const char *name, struct span secret)
{
    struct buf given = {0};
    bool has = http_query(request, name, &given) && http_token_eq(buf_span(&given), secret);
    buf_free(&given);
    return has;
}

/* A right token stood where access logs keep it. Does it count nevertheless? */
static bool counts_in_url(const struct http_request *request, const char *name)
{
    struct http_server *server = request->http->server;
    uint64_t now = clock_monotonic_ms();
    bool counts = !server->options.no_url_tokens;
    metrics_add(net_metrics(server->net), METRIC_HTTP_URL_TOKENS, 1);
    if (server->url_token_ms == 0 || now - server->url_token_ms >= URL_TOKEN_LINE_MS) {
        server->url_token_ms = now;
        log_warn(counts
                     ? "a token came in an address, where access logs keep it: clients should "
                       "send it as a bearer token"
                     : "a token in an address was refused, as url-tokens says: access logs keep it",
                 LOG_SPAN_FIELD("path", request->path), LOG_TEXT_FIELD("parameter", name));
    }
    return counts;
}

bool http_authorize(struct http_request *request, enum http_auth when, const char *secret,
                    const char *query)
{
    struct span wanted = span_str(secret);
    if ((wanted.len == 0 && when == HTTP_AUTH_IF_SET) || has_bearer(request, wanted) ||
        (query != NULL && has_query(request, query, wanted) && counts_in_url(request, query))) {
        return true;
    }
    http_reply_field(request, "WWW-Authenticate", SPAN("Bearer"));
    http_reply_error(request, 401, "the bearer token is missing or wrong");
    return false;
}
