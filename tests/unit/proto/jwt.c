/* SPDX-License-Identifier: MIT */
/* Tokens signed here, and tokens that nobody should make. The zoo of forged ones made by another
 * library is in tests/integration/test_chat_login.py. */
#include "node/proto/jwt/jwt.h"
#include "store/base/buf.h"
#include "store/base/mem.h"
#include "tests/unit/cmocka_all.h"

#include <nettle/base64.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

enum { NOW = 1700000000, PART_MOST = 1024 };

static const struct jwt_rules rules = {.audience = "a", .nickname = "nick", .leeway_s = 5};
static EVP_PKEY *rsa, *other_rsa;
static struct jwt_keys *keys;

static void put_base64(struct buf *out, const void *bytes, size_t len)
{
    struct base64_encode_ctx state;
    char text[BASE64_ENCODE_LENGTH(PART_MOST) + BASE64_ENCODE_FINAL_LENGTH];
    base64url_encode_init(&state);
    assert_true(len <= PART_MOST);
    size_t done = base64_encode_update(&state, text, len, bytes);
    done += base64_encode_final(&state, text + done);
    while (done > 0 && text[done - 1] == '=') {
        done--;
    }
    buf_append(out, span_of(text, done));
}

/* A member of a JWK: a number of the key, in at least `size` bytes. */
static void put_number(struct buf *out, const char *name, EVP_PKEY *key, const char *param,
                       int size)
{
    BIGNUM *number = NULL;
    uint8_t bytes[PART_MOST];
    assert_int_equal(EVP_PKEY_get_bn_param(key, param, &number), 1);
    int len = BN_num_bytes(number) > size ? BN_num_bytes(number) : size;
    assert_int_equal(BN_bn2binpad(number, bytes, len), len);
    buf_printf(out, ",\"%s\":\"", name);
    put_base64(out, bytes, (size_t)len);
    buf_append(out, SPAN("\""));
    BN_free(number);
}

/* The public half as a JWK set. `more`: members before those of the key. */
static void set_of(EVP_PKEY *key, const char *more, struct buf *out)
{
    buf_printf(out, "{\"keys\":[{%s", more);
    if (EVP_PKEY_is_a(key, "RSA")) {
        buf_append(out, SPAN(",\"kty\":\"RSA\""));
        put_number(out, "n", key, OSSL_PKEY_PARAM_RSA_N, 0);
        put_number(out, "e", key, OSSL_PKEY_PARAM_RSA_E, 0);
    } else if (EVP_PKEY_is_a(key, "EC")) {
        int size = (EVP_PKEY_get_bits(key) + 7) / 8;
        buf_printf(out, ",\"kty\":\"EC\",\"crv\":\"P-%d\"", EVP_PKEY_get_bits(key));
        put_number(out, "x", key, OSSL_PKEY_PARAM_EC_PUB_X, size);
        put_number(out, "y", key, OSSL_PKEY_PARAM_EC_PUB_Y, size);
    } else {
        uint8_t bytes[32];
        size_t len = sizeof(bytes);
        assert_int_equal(EVP_PKEY_get_raw_public_key(key, bytes, &len), 1);
        buf_append(out, SPAN(",\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\""));
        put_base64(out, bytes, len);
        buf_append(out, SPAN("\""));
    }
    buf_append(out, SPAN("}]}"));
}

static int start(void **state)
{
    struct buf set = {0};
    char text[128];
    (void)state;
    rsa = EVP_RSA_gen(2048);
    other_rsa = EVP_RSA_gen(2048);
    set_of(rsa, "\"kid\":\"one\"", &set);
    keys = jwt_keys_new();
    assert_int_equal(jwt_keys_set_jwks(keys, buf_span(&set), text, sizeof(text)), 0);
    buf_free(&set);
    return 0;
}

static int end(void **state)
{
    (void)state;
    jwt_keys_free(&keys);
    jwt_keys_free(&keys);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(other_rsa);
    return 0;
}

/* From OpenSSL's DER to two numbers side by side. */
static size_t side_by_side(EVP_PKEY *key, uint8_t *bytes, size_t len)
{
    const uint8_t *der = bytes;
    int size = (EVP_PKEY_get_bits(key) + 7) / 8;
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)len);
    assert_non_null(pair);
    BN_bn2binpad(ECDSA_SIG_get0_r(pair), bytes, size);
    BN_bn2binpad(ECDSA_SIG_get0_s(pair), bytes + size, size);
    ECDSA_SIG_free(pair);
    return 2 * (size_t)size;
}

/* Signs as `algorithm` says: RS, PS, ES with the digest of its number, or EdDSA. */
static void put_signature(struct buf *token, EVP_PKEY *key, const char *algorithm)
{
    uint8_t bytes[PART_MOST];
    char digest[16];
    size_t len = sizeof(bytes);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *padding = NULL;
    snprintf(digest, sizeof(digest), "SHA%s", algorithm + 2);
    bool ed = strcmp(algorithm, "EdDSA") == 0;
    assert_int_equal(
        EVP_DigestSignInit_ex(context, &padding, ed ? NULL : digest, NULL, NULL, key, NULL), 1);
    if (algorithm[0] == 'P') {
        EVP_PKEY_CTX_set_rsa_padding(padding, RSA_PKCS1_PSS_PADDING);
        EVP_PKEY_CTX_set_rsa_pss_saltlen(padding, RSA_PSS_SALTLEN_DIGEST);
    }
    assert_int_equal(EVP_DigestSign(context, bytes, &len, (const uint8_t *)token->ptr, token->len),
                     1);
    EVP_MD_CTX_free(context);
    len = EVP_PKEY_is_a(key, "EC") ? side_by_side(key, bytes, len) : len;
    buf_append(token, SPAN("."));
    put_base64(token, bytes, len);
}

static char *sign(EVP_PKEY *key, const char *algorithm, const char *kid, const char *claims)
{
    struct buf head = {0}, token = {0};
    buf_printf(&head, "{\"alg\":\"%s\"", algorithm);
    if (kid != NULL) {
        buf_printf(&head, ",\"kid\":\"%s\"", kid);
    }
    buf_append(&head, SPAN("}"));
    put_base64(&token, head.ptr, head.len);
    buf_append(&token, SPAN("."));
    put_base64(&token, claims, strlen(claims));
    put_signature(&token, key, algorithm);
    char *copy = mem_dup(buf_span(&token));
    buf_free(&head);
    buf_free(&token);
    return copy;
}

static enum jwt_result check(const char *token, struct jwt_claims *claims)
{
    const char *why;
    return jwt_check(keys, &rules, span_str(token), NOW, claims, &why);
}

static enum jwt_result check_claims(const char *text)
{
    struct jwt_claims claims;
    char *token = sign(rsa, "RS256", "one", text);
    enum jwt_result result = check(token, &claims);
    free(token);
    return result;
}

static void good_ones(void **state)
{
    struct jwt_claims claims;
    (void)state;
    char *token = sign(rsa, "RS256", "one",
                       "{\"sub\":\"u\",\"aud\":[\"b\",\"a\"],\"exp\":1700000001,\"nick\":\"N\"}");
    assert_int_equal(check(token, &claims), JWT_GOOD);
    assert_string_equal(claims.subject, "u");
    assert_string_equal(claims.nickname, "N");
    assert_int_equal(claims.expires_s, 1700000001);
    for (size_t i = 0; token[i] != '\0'; i++) { /* no byte of it may be another */
        char kept = token[i];
        token[i] = kept == 'A' ? 'B' : 'A';
        bool last_of_part = token[i + 1] == '.' || token[i + 1] == '\0'; /* may hold unused bits */
        assert_true(last_of_part || check(token, &claims) != JWT_GOOD);
        token[i] = kept;
    }
    free(token);
}

static void claims_at_their_edges(void **state)
{
    (void)state;
    assert_int_equal(check_claims("{\"sub\":\"u\",\"aud\":\"a\",\"exp\":1699999996}"), JWT_GOOD);
    assert_int_equal(check_claims("{\"sub\":\"u\",\"aud\":\"a\",\"exp\":1699999995}"), JWT_REFUSED);
    assert_int_equal(check_claims("{\"sub\":\"u\",\"aud\":\"a\",\"exp\":1.7e9}"), JWT_GOOD);
    assert_int_equal(check_claims("{\"sub\":\"u\",\"aud\":\"a\",\"exp\":2e9,\"nbf\":1700000005}"),
                     JWT_GOOD);
    assert_int_equal(check_claims("{\"sub\":\"u\",\"aud\":\"a\",\"exp\":2e9,\"nbf\":1700000006}"),
                     JWT_REFUSED);
    assert_int_equal(check_claims("{\"sub\":\"u\",\"aud\":\"a\",\"exp\":2e9,\"nbf\":null}"),
                     JWT_REFUSED);
    assert_int_equal(check_claims("{\"sub\":\"u\",\"aud\":\"A\",\"exp\":2e9}"), JWT_REFUSED);
    assert_int_equal(check_claims("{\"sub\":\"u\",\"aud\":[[\"a\"]],\"exp\":2e9}"), JWT_REFUSED);
    assert_int_equal(check_claims("{\"sub\":\"u\\u0000\",\"aud\":\"a\",\"exp\":2e9}"), JWT_REFUSED);
    assert_int_equal(check_claims("{\"aud\":\"a\",\"exp\":2e9}"), JWT_REFUSED);
    assert_int_equal(check_claims("{\"sub\":\"u\",\"aud\":\"a\",\"exp\":2e9} x"), JWT_UNREADABLE);
    assert_int_equal(check_claims("[]"), JWT_UNREADABLE);
}

static void which_key(void **state)
{
    static const char claims_text[] = "{\"sub\":\"u\",\"aud\":\"a\",\"exp\":2e9}";
    static const struct {
        bool other;
        const char *kid;
        enum jwt_result result;
    } cases[] = {
        {false, NULL, JWT_GOOD},         {false, "one", JWT_GOOD},
        {false, "two", JWT_UNKNOWN_KEY}, {true, NULL, JWT_UNKNOWN_KEY},
        {true, "one", JWT_UNKNOWN_KEY},  {true, "two", JWT_UNKNOWN_KEY},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct jwt_claims claims;
        char *token = sign(cases[i].other ? other_rsa : rsa, "RS256", cases[i].kid, claims_text);
        assert_int_equal(check(token, &claims), cases[i].result);
        free(token);
    }
}

static void a_key_is_for_one_algorithm(void **state)
{
    static const char claims_text[] = "{\"sub\":\"u\",\"aud\":\"a\",\"exp\":2e9}";
    static const char *const others[] = {"RS384", "RS512", "PS256"};
    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        struct jwt_claims claims;
        char *token = sign(rsa, others[i], "one", claims_text);
        assert_int_equal(check(token, &claims), JWT_UNKNOWN_KEY);
        free(token);
    }
}

static EVP_PKEY *key_for(const char *algorithm)
{
    static const char *const curves[] = {"P-256", "P-384", "P-521"};
    static const char *const names[] = {"ES256", "ES384", "ES512"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(algorithm, names[i]) == 0) {
            return EVP_EC_gen(curves[i]);
        }
    }
    return strcmp(algorithm, "EdDSA") == 0 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
                                           : EVP_RSA_gen(2048);
}

/* Each algorithm: its own token is good; another one's, and one with a changed signature, is not. */
static void every_algorithm(void **state)
{
    static const char claims_text[] = "{\"sub\":\"u\",\"aud\":\"a\",\"exp\":2e9}";
    static const char *const all[] = {"RS256", "RS384", "RS512", "PS256", "PS384",
                                      "PS512", "ES256", "ES384", "ES512", "EdDSA"};
    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        struct jwt_claims claims;
        struct buf set = {0};
        char error[128], more[32];
        const char *why;
        EVP_PKEY *key = key_for(all[i]), *other = key_for(all[i]);
        struct jwt_keys *own = jwt_keys_new();
        snprintf(more, sizeof(more), "\"alg\":\"%s\"", all[i]);
        set_of(key, more, &set);
        assert_int_equal(jwt_keys_set_jwks(own, buf_span(&set), error, sizeof(error)), 0);
        char *good = sign(key, all[i], NULL, claims_text);
        char *forged = sign(other, all[i], NULL, claims_text);
        assert_int_equal(jwt_check(own, &rules, span_str(good), NOW, &claims, &why), JWT_GOOD);
        assert_int_equal(jwt_check(own, &rules, span_str(forged), NOW, &claims, &why),
                         JWT_UNKNOWN_KEY);
        good[strlen(good) - 9] ^= 1;
        assert_int_not_equal(jwt_check(own, &rules, span_str(good), NOW, &claims, &why), JWT_GOOD);
        free(good);
        free(forged);
        buf_free(&set);
        jwt_keys_free(&own);
        EVP_PKEY_free(key);
        EVP_PKEY_free(other);
    }
}

/* A set may not give a key an algorithm that it is not for. */
static void algorithms_that_do_not_fit(void **state)
{
    static const char *const wrong[] = {"\"alg\":\"ES256\"", "\"alg\":\"HS256\"",
                                        "\"alg\":\"EdDSA\"", "\"alg\":\"none\"", "\"use\":\"enc\""};
    char error[128];
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        struct buf set = {0};
        struct jwt_keys *none = jwt_keys_new();
        set_of(rsa, wrong[i], &set);
        assert_int_equal(jwt_keys_set_jwks(none, buf_span(&set), error, sizeof(error)), -1);
        buf_free(&set);
        jwt_keys_free(&none);
    }
}

/* {"alg":"RS256"} and {"alg":"ES256"}, no claims, and nonsense for a signature. */
static void signatures_of_any_length(void **state)
{
    static const char *const heads[] = {"eyJhbGciOiJSUzI1NiJ9", "eyJhbGciOiJFUzI1NiJ9"};
    struct jwt_claims claims;
    struct buf set = {0};
    char error[128];
    (void)state;
    EVP_PKEY *ec = EVP_EC_gen("P-256");
    struct jwt_keys *both = jwt_keys_new();
    set_of(ec, "\"kid\":\"ec\"", &set);
    assert_int_equal(jwt_keys_set_jwks(both, buf_span(&set), error, sizeof(error)), 0);
    set.len = 0;
    set_of(rsa, "\"kid\":\"one\"", &set);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 2; i++) {
            struct buf token = {0};
            buf_printf(&token, "%s.e30.", heads[i]);
            for (int len = 0; len < 700; len++) {
                const char *why;
                assert_int_not_equal(jwt_check(both, &rules, buf_span(&token), NOW, &claims, &why),
                                     JWT_GOOD);
                buf_append(&token, SPAN("_"));
            }
            buf_free(&token);
        }
        assert_int_equal(jwt_keys_set_jwks(both, buf_span(&set), error, sizeof(error)), 0);
    }
    buf_free(&set);
    jwt_keys_free(&both);
    EVP_PKEY_free(ec);
}

static void sets_and_their_failures(void **state)
{
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "{}",
        "{\"keys\":{}}",
        "{\"keys\":[]}",
        "{\"keys\":[1,null,{}]}",
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}", /* far too short */
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}]}",
        /* not on the curve: the point of RFC 7515, A.3, with another end */
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
        "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
        "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a4\"}]}",
        "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}]}",
    };
    char error[128];
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_int_equal(jwt_keys_set_jwks(keys, span_str(bad[i]), error, sizeof(error)), -1);
        assert_int_equal(jwt_keys_count(keys), 1); /* the earlier ones stay */
    }
    struct jwt_keys *none = jwt_keys_new();
    assert_int_equal(jwt_keys_add_secret(none, span_of(NULL, 0), error, sizeof(error)), -1);
    assert_int_equal(jwt_keys_add_pem(none, SPAN("nonsense"), error, sizeof(error)), -1);
    assert_int_equal(jwt_keys_count(none), 0);
    jwt_keys_free(&none);
}

static void peeking(void **state)
{
    struct jwt_claims claims;
    (void)state;
    char *token = sign(other_rsa, "RS256", NULL, "{\"sub\":\"u\",\"nick\":\"N\"}");
    assert_true(jwt_peek(span_str(token), &rules, &claims));
    assert_string_equal(claims.subject, "u");
    assert_string_equal(claims.nickname, "N");
    assert_false(jwt_peek(SPAN("alice"), &rules, &claims));
    free(token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_ones),
        cmocka_unit_test(claims_at_their_edges),
        cmocka_unit_test(which_key),
        cmocka_unit_test(a_key_is_for_one_algorithm),
        cmocka_unit_test(every_algorithm),
        cmocka_unit_test(algorithms_that_do_not_fit),
        cmocka_unit_test(signatures_of_any_length),
        cmocka_unit_test(sets_and_their_failures),
        cmocka_unit_test(peeking),
    };
    return cmocka_run_group_tests(tests, start, end);
}
