/* SPDX-License-Identifier: MIT */
#include "node/proto/ws/admit.h"

#include "node/proto/http/auth.h"
#include "node/proto/ws/ws.h"

#include <nettle/base64.h>

static bool word_is(struct span word, struct span secret)
{
    struct base64_decode_ctx ctx;
    struct buf token = {0};
    size_t len = BASE64_DECODE_LENGTH(word.len);
    base64url_decode_init(&ctx);
    bool is =
        base64_decode_update(&ctx, &len, (uint8_t *)buf_room(&token, len), word.len, word.ptr) == 1;
    if (is) {
        buf_grew(&token, len);
        is = http_token_eq(buf_span(&token), secret);
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

bool ws_admits(struct http_request *request, const char *secret)
{
    bool knows;
    if (!is_page(request, span_str(secret), &knows)) {
        return http_authorize(request, HTTP_AUTH_IF_SET, secret, "token");
    }
    http_reply_field(request, "Sec-WebSocket-Protocol", SPAN("muster"));
    if (secret[0] == '\0' || knows) {
        return true;
    }
    static const struct ws_handler handler = {.message = on_nothing, .closed = on_end};
    struct ws *ws = ws_accept(request, &handler, NULL);
    if (ws != NULL) {
        ws_close(ws, WS_TOKEN_NEEDED, "the bearer token is missing or wrong");
    }
    return false;
}
