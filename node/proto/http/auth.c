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

bool http_bearer_is(const struct http_request *request, struct span secret)
{
    struct span field = http_header(request, "authorization");
    struct span scheme = span_cut(&field, ' ');
    return span_eq_nocase(scheme, SPAN("Bearer")) && http_secret_eq(span_trim(field), secret);
}

bool http_admits(struct http_request *request, struct span secret)
{
    struct buf given = {0};
    bool may = secret.len == 0 || http_bearer_is(request, secret) ||
               (http_query(request, "token", &given) && http_secret_eq(buf_span(&given), secret));
    buf_free(&given);
    if (!may) {
        http_reply_field(request, "WWW-Authenticate", SPAN("Bearer"));
        http_reply_error(request, 401, "a bearer token is needed");
    }
    return may;
}
