/* SPDX-License-Identifier: MIT */
#include "node/proto/http/page.h"

#include <nettle/base64.h>
#include <nettle/sha2.h>
#include <nettle/version.h>

static void put_hash(struct span script, struct buf *out)
{
    uint8_t digest[SHA256_DIGEST_SIZE];
    struct sha256_ctx ctx;
    size_t len = BASE64_ENCODE_RAW_LENGTH(sizeof(digest));
    sha256_init(&ctx);
    sha256_update(&ctx, script.len, (const uint8_t *)script.ptr);
#if NETTLE_VERSION_MAJOR >= 4
    sha256_digest(&ctx, digest);
#else
    sha256_digest(&ctx, sizeof(digest), digest);
#endif
    buf_append(out, SPAN(" 'sha256-"));
    base64_encode_raw(buf_room(out, len), sizeof(digest), digest);
    buf_grew(out, len);
    buf_append(out, SPAN("'"));
}

/* Cuts all up to and with `mark` off *text, which goes to *before. false: it is not there. */
static bool cut(struct span *text, struct span mark, struct span *before)
{
    const char *at = memmem(text->ptr, text->len, mark.ptr, mark.len);
    if (at == NULL) {
        return false;
    }
    *before = span_of(text->ptr, (size_t)(at - text->ptr));
    *text = span_skip(*text, before->len + mark.len);
    return true;
}

void http_page_policy(struct span page, struct buf *out)
{
    struct span before, script;
    buf_append(out, SPAN("default-src 'none'; script-src"));
    size_t begin = out->len;
    while (cut(&page, SPAN("<script"), &before) && cut(&page, SPAN(">"), &before) &&
           cut(&page, SPAN("</script>"), &script)) {
        put_hash(script, out);
    }
    if (out->len == begin) {
        buf_append(out, SPAN(" 'none'"));
    }
    buf_append(out, SPAN("; style-src 'unsafe-inline'; connect-src 'self' ws: wss:; img-src data:; "
                         "worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors "
                         "'none'"));
}
