/* SPDX-License-Identifier: MIT */
/* Any bytes as a token, as a key set and as a PEM file. With no key that anybody could sign with,
 * no token is good. The first byte says which. */
#include "node/proto/jwt/jwt.h"
#include "store/base/buf.h"

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

static struct jwt_keys *keys;

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

static void read_keys(struct span bytes, bool pem)
{
    char error[128] = "";
    struct jwt_keys *read = jwt_keys_new();
    int result = pem ? jwt_keys_add_pem(read, bytes, error, sizeof(error))
                     : jwt_keys_set_jwks(read, bytes, error, sizeof(error));
    must((result == 0) == (jwt_keys_count(read) > 0) && (result == 0) == (error[0] == '\0'));
    jwt_keys_free(&read);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char error[128];
    if (keys == NULL) {
        keys = jwt_keys_new();
        must(jwt_keys_set_jwks(keys, SPAN(set), error, sizeof(error)) == 0 &&
             jwt_keys_count(keys) == 2);
    }
    if (size == 0) {
        return 0;
    }
    struct span rest = span_of(data + 1, size - 1);
    if (data[0] == '{') {
        read_keys(span_of(data, size), false);
    } else if (data[0] == '-') {
        read_keys(span_of(data, size), true);
    } else {
        check_token(rest);
    }
    return 0;
}
