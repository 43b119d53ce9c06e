/* SPDX-License-Identifier: MIT */
/* Any bytes as a token, as a key set, as a PEM file, and as the claims of a token that is signed. With no key
 * that anybody could sign with, no token is good; of one that is signed, what is said to be good is. The first
 * byte says which. */
#include "node/proto/jwt/jwt.h"
#include "store/base/buf.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of RFC 7515, A.2 and A.3: their private halves are known, but not to a fuzzer. */
static const char set[] =
    "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\",\"e\":\"AQAB\",\"n\":"
    "\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4"
    "d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexM"
    "dbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK"
    "-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\"},"
    "{\"kty\":\"EC\",\"kid\":\"e\",\"crv\":\"P-256\",\"x\":"
    "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";

static struct jwt_keys *keys, *own; /* own: of the secret */
static const char secret[] = "32 bytes are what a key should be";

static void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void check_token(struct span token)
{
    const struct jwt_rules rules = {.audience = "a", .issuer = "i", .nickname = "sub"};
    struct jwt_claims claims;
    const char *why = NULL;
    must(jwt_check(keys, &rules, token, 1700000000, &claims, &why) != JWT_GOOD && why != NULL);
    if (jwt_peek(token, &rules, &claims)) {
        must(claims.subject[0] != '\0' && strcmp(claims.subject, claims.nickname) == 0);
    }
}

/* In base64url (RFC 7515, 2). */
static void add_part(struct buf *token, const void *bytes, size_t len)
{
    char *at = buf_room(token, len / 3 * 4 + 5);
    size_t used = (size_t)EVP_EncodeBlock((unsigned char *)at, bytes, (int)len);
    while (used > 0 && at[used - 1] == '=') {
        used--;
    }
    for (size_t i = 0; i < used; i++) {
        at[i] = at[i] == '+' ? '-' : at[i] == '/' ? '_' : at[i];
    }
    buf_grew(token, used);
}

static void check_claims(struct span claims)
{
    static const char head[] = "{\"alg\":\"HS256\"}";
    const struct jwt_rules rules = {.audience = "a", .issuer = "i", .nickname = "n", .leeway_s = 5};
    struct buf token = {0};
    struct jwt_claims read = {0};
    const char *why = NULL;
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (claims.len > JWT_TOKEN_LIMIT / 2) {
        return;
    }
    add_part(&token, head, sizeof(head) - 1);
    buf_append(&token, SPAN("."));
    add_part(&token, claims.ptr, claims.len);
    HMAC(EVP_sha256(), secret, sizeof(secret) - 1, (const unsigned char *)token.ptr, token.len, sum,
         &len);
    buf_append(&token, SPAN("."));
    add_part(&token, sum, len);
    enum jwt_result result = jwt_check(own, &rules, buf_span(&token), 1700000000, &read, &why);
    must((result == JWT_GOOD) == (why == NULL) && result != JWT_UNKNOWN_KEY);
    must(result != JWT_GOOD || (read.subject[0] != '\0' && read.expires_s + 5 > 1700000000 &&
                                memmem(claims.ptr, claims.len, "exp", 3) != NULL));
    buf_free(&token);
}

static void read_keys(struct span bytes, bool pem)
{
    char error[128] = "";
    struct jwt_keys *read = jwt_keys_new();
    int result = pem ? jwt_keys_add_pem(read, bytes, error, sizeof(error))
                     : jwt_keys_set_jwks(read, bytes, error, sizeof(error));
    must((result == 0) == (jwt_keys_count(read) > 0) && (result == 0) == (error[0] == '\0'));
    struct jwt_keys *again = jwt_keys_ref(read), *of_set = jwt_keys_new();
    jwt_keys_free(&again);
    jwt_keys_copy_set(of_set, read);
    must(jwt_keys_count(of_set) == (pem ? 0 : jwt_keys_count(read)));
    must(jwt_keys_add_secret(of_set, SPAN(""), error, sizeof(error)) != 0);
    jwt_keys_free(&of_set);
    struct jwt_keys *copy = jwt_keys_copy(read);
    must(jwt_keys_count(copy) == jwt_keys_count(read));
    must(pem || jwt_keys_set_jwks(copy, bytes, error, sizeof(error)) == result);
    must(jwt_keys_count(copy) == jwt_keys_count(read));
    jwt_keys_free(&copy);
    jwt_keys_free(&read);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char error[128];
    if (keys == NULL) {
        keys = jwt_keys_new();
        must(jwt_keys_set_jwks(keys, SPAN(set), error, sizeof(error)) == 0 &&
             jwt_keys_count(keys) == 2);
        own = jwt_keys_new();
        must(jwt_keys_add_secret(own, span_of(secret, sizeof(secret) - 1), error, sizeof(error)) ==
             0);
    }
    if (size == 0) {
        return 0;
    }
    struct span rest = span_of(data + 1, size - 1);
    if (data[0] == '{') {
        read_keys(span_of(data, size), false);
    } else if (data[0] == '-') {
        read_keys(span_of(data, size), true);
    } else if (data[0] == '=') {
        check_claims(rest);
    } else {
        check_token(rest);
    }
    return 0;
}
