#include "node/proto/bearer.h"

#include "node/proto/ws.h"

#include <nettle/base64.h>

bool secret_eq(struct span given, struct span secret)
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

bool bearer_is(const struct http_request *request, struct span secret)
{
    struct span field = http_header(request, "authorization");
    struct span scheme = span_cut(&field, ' ');
    return span_eq_nocase(scheme, SPAN("Bearer")) && secret_eq(span_trim(field), secret);
}

/* ------------------------------------------------------------------------------------ pages */

static bool word_is(struct span word, struct span secret)
{
    struct base64_decode_ctx ctx;
    struct buf token = {0};
    size_t len = BASE64_DECODE_LENGTH(word.len);
    base64url_decode_init(&ctx);
    bool is = base64_decode_update(&ctx, &len, (uint8_t *)buf_room(&token, len), word.len,
                                   word.ptr) == 1;
    if (is) {
        buf_grew(&token, len);
        is = secret_eq(buf_span(&token), secret);
    }
    buf_free(&token);
    return is;
}

/* Does a page of ours open a WebSocket? Then *knows tells whether it knows the secret. */
static bool is_page(const struct http_request *request, struct span secret, bool *knows)
{
    const struct span mark = SPAN("bearer.");
    struct span left = http_header(request, "sec-websocket-protocol");
    bool page = false;
    *knows = false;
    while (left.len > 0) {
        struct span word = span_trim(span_cut(&left, ','));
        page |= span_eq(word, SPAN("muster"));
        if (word.len > mark.len && span_eq(span_of(word.ptr, mark.len), mark)) {
            *knows |= word_is(span_skip(word, mark.len), secret);
        }
    }
    return page;
}

static bool in_query(const struct http_request *request, struct span secret)
{
    struct buf given = {0};
    bool is = http_query(request, "token", &given) && secret_eq(buf_span(&given), secret);
    buf_free(&given);
    return is;
}

static void on_nothing(void *arg, enum ws_kind kind, struct span payload)
{
    (void)arg;
    (void)kind;
    (void)payload;
}

static void on_end(void *arg)
{
    (void)arg;
}

static void turn_away(struct http_request *request, bool page)
{
    static const struct ws_handler handler = {.message = on_nothing, .closed = on_end};
    struct ws *ws;
    if (!page) {
        http_reply_field(request, "WWW-Authenticate", SPAN("Bearer"));
        http_reply_error(request, 401, "a bearer token is needed");
    } else if ((ws = ws_accept(request, &handler, NULL)) != NULL) {
        ws_close(ws, WS_TOKEN_NEEDED, "a bearer token is needed");
    }
}

bool bearer_admits(struct http_request *request, struct span secret)
{
    bool knows;
    bool page = is_page(request, secret, &knows);
    if (page) {
        http_reply_field(request, "Sec-WebSocket-Protocol", SPAN("muster"));
    }
    if (secret.len == 0 || knows || bearer_is(request, secret) || in_query(request, secret)) {
        return true;
    }
    turn_away(request, page);
    return false;
}
