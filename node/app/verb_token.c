/* SPDX-License-Identifier: MIT */
/* muster token: a JSON Web Token (RFC 7519) for development and tests, signed with a secret (HS256) or a
 * private key in PEM (RS256, ES256), as /chat believes it. */
#include "node/app/terminal.h"
#include "node/proto/json/scan.h"
#include "store/base/buf.h"
#include "store/base/clock.h"

#include <inttypes.h>
#include <nettle/base64.h>
#include <nettle/hmac.h>
#include <nettle/version.h>
#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { P256_BYTES = 32 };

struct token_wish {
    const char *user, *secret, *key, *audience, *issuer, *nickname;
    int64_t life_ms;
};

static void append_base64url(struct buf *out, const unsigned char *bytes, size_t len)
{
    char *at = buf_room(out, BASE64_ENCODE_RAW_LENGTH(len));
    struct base64_encode_ctx ctx;
    base64url_encode_init(&ctx);
    size_t written = base64_encode_update(&ctx, at, len, bytes);
    char end[BASE64_ENCODE_FINAL_LENGTH];
    size_t more = base64_encode_final(&ctx, end);
    buf_grew(out, written);
    while (more > 0 && end[more - 1] == '=') {
        more--;
    }
    buf_append(out, span_of(end, more));
}

static void append_claim(struct buf *out, const char *name, const char *value)
{
    if (value[0] != '\0') {
        buf_printf(out, ",\"%s\":", name);
        json_quote(span_str(value), out);
    }
}

static void append_claims(const struct token_wish *wish, struct buf *out)
{
    uint64_t now = clock_unix_ms() / 1000;
    struct buf claims = {0};
    buf_append(&claims, SPAN("{\"sub\":"));
    json_quote(span_str(wish->user), &claims);
    append_claim(&claims, "aud", wish->audience);
    append_claim(&claims, "iss", wish->issuer);
    append_claim(&claims, "nickname", wish->nickname);
    buf_printf(&claims, ",\"iat\":%" PRIu64 ",\"exp\":%" PRIu64 "}", now,
               now + (uint64_t)wish->life_ms / 1000);
    append_base64url(out, (const unsigned char *)claims.ptr, claims.len);
    buf_free(&claims);
}

static void append_head(const char *algorithm, struct buf *out)
{
    char head[64];
    snprintf(head, sizeof(head), "{\"alg\":\"%s\",\"typ\":\"JWT\"}", algorithm);
    append_base64url(out, (const unsigned char *)head, strlen(head));
    buf_append(out, SPAN("."));
}

/* ------------------------------------------------------------------------------------ signing */

static void sign_with_secret(const char *secret, struct buf *token)
{
    struct hmac_sha256_ctx ctx;
    unsigned char digest[SHA256_DIGEST_SIZE];
    hmac_sha256_set_key(&ctx, strlen(secret), (const uint8_t *)secret);
    hmac_sha256_update(&ctx, token->len, (const uint8_t *)token->ptr);
#if NETTLE_VERSION_MAJOR >= 4
    hmac_sha256_digest(&ctx, digest);
#else
    hmac_sha256_digest(&ctx, sizeof(digest), digest);
#endif
    buf_append(token, SPAN("."));
    append_base64url(token, digest, sizeof(digest));
}

/* JWS wants the two numbers of a signature side by side (RFC 7518, 3.4); OpenSSL gives DER. */
static bool append_ec_signature(const unsigned char *der, size_t len, struct buf *token)
{
    unsigned char both[2 * P256_BYTES];
    ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &der, (long)len);
    bool good =
        signature != NULL &&
        BN_bn2binpad(ECDSA_SIG_get0_r(signature), both, P256_BYTES) == P256_BYTES &&
        BN_bn2binpad(ECDSA_SIG_get0_s(signature), both + P256_BYTES, P256_BYTES) == P256_BYTES;
    ECDSA_SIG_free(signature);
    if (good) {
        append_base64url(token, both, sizeof(both));
    }
    return good;
}

static bool sign_with_key(EVP_PKEY *key, struct buf *token)
{
    unsigned char signature[1024];
    size_t len = sizeof(signature);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good =
        EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
        EVP_DigestSign(ctx, signature, &len, (const unsigned char *)token->ptr, token->len) == 1;
    EVP_MD_CTX_free(ctx);
    if (!good) {
        return false;
    }
    buf_append(token, SPAN("."));
    if (EVP_PKEY_base_id(key) == EVP_PKEY_EC) {
        return append_ec_signature(signature, len, token);
    }
    append_base64url(token, signature, len);
    return true;
}

/* New, or NULL after a word on stderr. */
static EVP_PKEY *read_key(const char *path)
{
    FILE *file = fopen(path, "re");
    EVP_PKEY *key = file != NULL ? PEM_read_PrivateKey(file, NULL, NULL, NULL) : NULL;
    if (file != NULL) {
        fclose(file);
    }
    bool good =
        key != NULL && (EVP_PKEY_base_id(key) == EVP_PKEY_RSA ||
                        (EVP_PKEY_base_id(key) == EVP_PKEY_EC && EVP_PKEY_bits(key) == 256));
    if (!good) {
        fprintf(stderr, "muster token: --key: %s holds no private key in PEM, RSA or P-256\n",
                path);
        EVP_PKEY_free(key);
        return NULL;
    }
    return key;
}

static int print_signed(const struct token_wish *wish, EVP_PKEY *key)
{
    struct buf token = {0};
    bool good = true;
    append_head(key == NULL                            ? "HS256"
                : EVP_PKEY_base_id(key) == EVP_PKEY_EC ? "ES256"
                                                       : "RS256",
                &token);
    append_claims(wish, &token);
    if (key != NULL) {
        good = sign_with_key(key, &token);
    } else {
        sign_with_secret(wish->secret, &token);
    }
    if (good) {
        printf("%s\n", buf_text(&token));
    } else {
        fprintf(stderr, "muster token: the key cannot sign\n");
    }
    buf_free(&token);
    return good ? 0 : 2;
}

int verb_token(char *const args[])
{
    struct token_wish wish = {.user = "",
                              .secret = "",
                              .key = "",
                              .audience = "heavenland-api",
                              .issuer = "",
                              .nickname = "",
                              .life_ms = 3600 * 1000};
    const struct terminal_flag flags[] = {
        {"user", TERMINAL_TEXT, &wish.user, "ID", "the user it is for (sub)", NULL},
        {"for", TERMINAL_TIME, &wish.life_ms, "TIME", "how long it is good: 1h", NULL},
        {"secret", TERMINAL_TEXT, &wish.secret, "SECRET", "chat-jwt-secret, for HS256",
         "MUSTER_CHAT_JWT_SECRET"},
        {"key", TERMINAL_TEXT, &wish.key, "FILE", "private key in PEM, for RS256 or ES256", NULL},
        {"audience", TERMINAL_TEXT, &wish.audience, "AUD", "chat-jwt-audience",
         "MUSTER_CHAT_JWT_AUDIENCE"},
        {"issuer", TERMINAL_TEXT, &wish.issuer, "ISS", "chat-jwt-issuer", "MUSTER_CHAT_JWT_ISSUER"},
        {"nickname", TERMINAL_TEXT, &wish.nickname, "NAME",
         "claim nickname (see chat-nickname-claim)", NULL},
        {NULL, TERMINAL_TEXT, NULL, NULL, NULL, NULL}};
    int status;
    if (!terminal_flags("token", args, flags, &status)) {
        return status;
    }
    if (wish.user[0] == '\0' || (wish.key[0] == '\0' && wish.secret[0] == '\0')) {
        fprintf(stderr, "muster token: %s\n",
                wish.user[0] == '\0' ? "--user is missing: the user it is for"
                                     : "--secret or --key signs it");
        return 2;
    }
    EVP_PKEY *key = NULL;
    if (wish.key[0] != '\0' && (key = read_key(wish.key)) == NULL) {
        return 2;
    }
    status = print_signed(&wish, key);
    EVP_PKEY_free(key);
    return status;
}
