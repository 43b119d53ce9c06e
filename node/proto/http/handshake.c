/* SPDX-License-Identifier: MIT */
/* The opening handshake of a WebSocket, RFC 6455, 4.2. */
#include "node/proto/http/impl.h"
#include "node/proto/http/origin.h"

#include <nettle/base64.h>
#include <nettle/sha1.h>
#include <nettle/version.h>

enum { HTTP_HANDSHAKE_KEY_BYTES = 16 };

bool http_wants_websocket(const struct http_request *request)
{
    return http_list_has(http_header(request, "upgrade"), SPAN("websocket"));
}

/* Base64 of 16 bytes. */
static bool key_is_sound(struct span key)
{
    struct base64_decode_ctx ctx;
    uint8_t out[BASE64_DECODE_LENGTH(BASE64_ENCODE_RAW_LENGTH(HTTP_HANDSHAKE_KEY_BYTES))];
    size_t len = sizeof(out);
    if (key.len != BASE64_ENCODE_RAW_LENGTH(HTTP_HANDSHAKE_KEY_BYTES)) {
        return false;
    }
    base64_decode_init(&ctx);
    return base64_decode_update(&ctx, &len, out, key.len, key.ptr) && base64_decode_final(&ctx) &&
           len == HTTP_HANDSHAKE_KEY_BYTES;
}

struct http_error http_handshake_check(struct http_request *request,
                                       const struct http_options *options)
{
    if (!span_eq(request->method, SPAN("GET")) || request->minor == 0) {
        return http_error(400, "a WebSocket handshake is a GET of HTTP/1.1");
    }
    if (request->stage != HTTP_AT_END) {
        return http_error(400, "a WebSocket handshake has no body");
    }
    if (!http_list_has(http_header(request, "connection"), SPAN("upgrade"))) {
        return http_error(400, "Connection must list Upgrade");
    }
    if (!span_eq(http_header(request, "sec-websocket-version"), SPAN("13"))) {
        http_reply_field(request, "Sec-WebSocket-Version", SPAN("13"));
        http_reply_field(request, "Upgrade", SPAN("websocket"));
        http_reply_field(request, "Connection", SPAN("Upgrade"));
        return http_error(426, "WebSocket version 13 is spoken here");
    }
    if (!key_is_sound(http_header(request, "sec-websocket-key"))) {
        return http_error(400, "Sec-WebSocket-Key is malformed");
    }
    if (!request->own_only && !http_origin_may_connect(request, options)) {
        return http_error(403, "pages of this origin may not open WebSockets here");
    }
    return HTTP_OK;
}

void http_handshake_accept(struct span key, struct buf *out)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    uint8_t digest[SHA1_DIGEST_SIZE];
    struct sha1_ctx ctx;
    sha1_init(&ctx);
    sha1_update(&ctx, key.len, (const uint8_t *)key.ptr);
    sha1_update(&ctx, sizeof(guid) - 1, (const uint8_t *)guid);
#if NETTLE_VERSION_MAJOR >= 4
    sha1_digest(&ctx, digest);
#else
    sha1_digest(&ctx, sizeof(digest), digest);
#endif
    size_t len = BASE64_ENCODE_RAW_LENGTH(sizeof(digest));
    base64_encode_raw(buf_room(out, len), sizeof(digest), digest);
    buf_grew(out, len);
}
