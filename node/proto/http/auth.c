/* SPDX-License-Identifier: MIT */
#include "node/proto/http/auth.h"

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

static bool has_bearer(const struct http_request *request, struct span secret)
{
    struct span field = http_header(request, "authorization");
    struct span scheme = span_cut(&field, ' ');
    return span_eq_nocase(scheme, SPAN("Bearer")) && http_secret_eq(span_trim(field), secret);
}

static bool has_query(const struct http_request *request, const char *name, struct span secret)
{
    struct buf given = {0};
    bool has = http_query(request, name, &given) && http_secret_eq(buf_span(&given), secret);
    buf_free(&given);
    return has;
}

bool http_authorize(struct http_request *request, enum http_auth when, const char *secret,
                    const char *query)
{
    struct span wanted = span_str(secret);
    if ((wanted.len == 0 && when == HTTP_AUTH_IF_SET) || has_bearer(request, wanted) ||
        (query != NULL && has_query(request, query, wanted))) {
        return true;
    }
    http_reply_field(request, "WWW-Authenticate", SPAN("Bearer"));
    http_reply_error(request, 401, "the bearer token is missing or wrong");
    return false;
}
