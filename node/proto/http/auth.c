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
