#include "node/proto/http.h"

/* Equality that takes the same time wherever the first difference is. */
static bool same_secret(struct span shown, struct span wanted)
{
    unsigned char difference = shown.len != wanted.len;
    for (size_t i = 0; i < shown.len && wanted.len > 0; i++) {
        difference |= (unsigned char)(shown.ptr[i] ^ wanted.ptr[i % wanted.len]);
    }
    return difference == 0;
}

bool http_admit_bearer(struct http_request *request, const char *token)
{
    struct span shown = http_header(request, "authorization");
    struct span scheme = SPAN("Bearer ");
    if (token[0] == '\0') {
        return true;
    }
    if (shown.len > scheme.len && span_eq_nocase(span_of(shown.ptr, scheme.len), scheme) &&
        same_secret(span_trim(span_skip(shown, scheme.len)), span_str(token))) {
        return true;
    }
    http_reply_field(request, "WWW-Authenticate", SPAN("Bearer"));
    http_reply_error(request, 401, "a bearer token is needed");
    return false;
}
