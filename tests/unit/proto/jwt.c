/* SPDX-License-Identifier: MIT */
/* Tokens made here with cjose's own signing, and tokens that nobody should make. The zoo of forged
 * ones made by another library is in tests/integration/test_chat_login.py. */
#include "node/proto/jwt/jwt.h"
#include "store/base/buf.h"
#include "store/base/mem.h"
#include "tests/unit/cmocka_all.h"

#include <cjose/cjose.h>

enum { NOW = 1700000000 };

static const struct jwt_rules rules = {.audience = "a", .nickname = "nick", .leeway_s = 5};
static cjose_jwk_t *rsa, *other_rsa;
static struct jwt_keys *keys;

/* The public half as a JWK set. */
static void set_of(cjose_jwk_t *key, const char *kid, struct buf *out)
{
    cjose_err error;
    assert_true(cjose_jwk_set_kid(key, kid, strlen(kid), &error));
    char *json = cjose_jwk_to_json(key, false, &error);
    buf_printf(out, "{\"keys\":[%s]}", json);
    free(json);
}

static int start(void **state)
{
    static const uint8_t exponent[] = {1, 0, 1};
    struct buf set = {0};
    char text[128];
    cjose_err error;
    (void)state;
    rsa = cjose_jwk_create_RSA_random(2048, exponent, sizeof(exponent), &error);
    other_rsa = cjose_jwk_create_RSA_random(2048, exponent, sizeof(exponent), &error);
    set_of(rsa, "one", &set);
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
    cjose_jwk_release(rsa);
    cjose_jwk_release(other_rsa);
    return 0;
}

static char *sign(cjose_jwk_t *key, const char *algorithm, const char *kid, const char *claims)
{
    cjose_err error;
    const char *text;
    cjose_header_t *header = cjose_header_new(&error);
    cjose_header_set(header, "alg", algorithm, &error);
    if (kid != NULL) {
        cjose_header_set(header, "kid", kid, &error);
    }
    cjose_jws_t *jws = cjose_jws_sign(key, header, (const uint8_t *)claims, strlen(claims), &error);
    assert_non_null(jws);
    assert_true(cjose_jws_export(jws, &text, &error));
    char *copy = mem_dup(span_str(text));
    cjose_jws_release(jws);
    cjose_header_release(header);
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
        {false, NULL, JWT_GOOD},   {false, "one", JWT_GOOD},   {false, "two", JWT_UNKNOWN_KEY},
        {true, NULL, JWT_REFUSED}, {true, "one", JWT_REFUSED}, {true, "two", JWT_UNKNOWN_KEY},
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
        assert_int_equal(check(token, &claims), JWT_REFUSED);
        free(token);
    }
}

/* {"alg":"RS256"} and {"alg":"ES256"}, no claims, and nonsense for a signature. */
static void signatures_of_any_length(void **state)
{
    static const char *const heads[] = {"eyJhbGciOiJSUzI1NiJ9", "eyJhbGciOiJFUzI1NiJ9"};
    struct jwt_claims claims;
    struct buf set = {0};
    char error[128];
    cjose_err trouble;
    (void)state;
    cjose_jwk_t *ec = cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_256, &trouble);
    struct jwt_keys *both = jwt_keys_new();
    set_of(ec, "ec", &set);
    assert_int_equal(jwt_keys_set_jwks(both, buf_span(&set), error, sizeof(error)), 0);
    set.len = 0;
    set_of(rsa, "one", &set);
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
    cjose_jwk_release(ec);
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
        cmocka_unit_test(signatures_of_any_length),
        cmocka_unit_test(sets_and_their_failures),
        cmocka_unit_test(peeking),
    };
    return cmocka_run_group_tests(tests, start, end);
}
