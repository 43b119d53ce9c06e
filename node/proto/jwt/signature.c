/* SPDX-License-Identifier: MIT */
#include "node/proto/jwt/signature.h"

#include "store/base/mem.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include <string.h>

enum {
    RSA_LEAST_BITS = 2048,       /* RFC 7518, 3.3 */
    RSA_MOST_BITS = 8 * 1024,    /* longer ones cost the checker too much */
    RSA_EXPONENT_MOST_BYTES = 8, /* likewise */
    COORDINATE_MOST = 66,        /* bytes of one of P-521 */
    ED25519_BYTES = 32,
};

enum jwt_kind { JWT_HMAC, JWT_RSA, JWT_RSA_PSS, JWT_EC, JWT_ED25519 };

struct jwt_algorithm {
    const char *name;
    enum jwt_kind kind;
    const char *digest; /* NULL: part of the algorithm */
    const char *group;  /* of EC, as OpenSSL calls it */
    const char *curve;  /* as a JWK does */
    size_t coordinate;  /* bytes */
};

static const struct jwt_algorithm algorithms[] = {
    {"HS256", JWT_HMAC, "SHA256", NULL, NULL, 0},
    {"RS256", JWT_RSA, "SHA256", NULL, NULL, 0},
    {"RS384", JWT_RSA, "SHA384", NULL, NULL, 0},
    {"RS512", JWT_RSA, "SHA512", NULL, NULL, 0},
    {"PS256", JWT_RSA_PSS, "SHA256", NULL, NULL, 0},
    {"PS384", JWT_RSA_PSS, "SHA384", NULL, NULL, 0},
    {"PS512", JWT_RSA_PSS, "SHA512", NULL, NULL, 0},
    {"ES256", JWT_EC, "SHA256", "prime256v1", "P-256", 32},
    {"ES384", JWT_EC, "SHA384", "secp384r1", "P-384", 48},
    {"ES512", JWT_EC, "SHA512", "secp521r1", "P-521", 66},
    {"EdDSA", JWT_ED25519, NULL, NULL, NULL, 0},
};

enum { ALGORITHMS = sizeof(algorithms) / sizeof(*algorithms) };

void jwt_key_forget_errors(void)
{
    ERR_clear_error();
}

/* ------------------------------------------------------------------------------------ algorithms */

const struct jwt_algorithm *jwt_algorithm_find(struct span name)
{
    for (size_t i = 0; i < ALGORITHMS; i++) {
        if (span_eq(span_str(algorithms[i].name), name)) {
            return &algorithms[i];
        }
    }
    return NULL;
}

const char *jwt_algorithm_name(const struct jwt_algorithm *algorithm)
{
    return algorithm->name;
}

static const struct jwt_algorithm *of_group(const EVP_PKEY *key)
{
    char name[32];
    size_t len;
    if (EVP_PKEY_get_group_name(key, name, sizeof(name), &len) != 1) {
        return NULL;
    }
    for (size_t i = 0; i < ALGORITHMS; i++) {
        if (algorithms[i].group != NULL && OBJ_txt2nid(algorithms[i].group) == OBJ_txt2nid(name)) {
            return &algorithms[i];
        }
    }
    return NULL;
}

const struct jwt_algorithm *jwt_algorithm_of(const EVP_PKEY *key, const char **why)
{
    const struct jwt_algorithm *found = NULL;
    *why = "neither RSA, nor Ed25519, nor a key on P-256, P-384 or P-521";
    if (EVP_PKEY_is_a(key, "RSA")) {
        int bits = EVP_PKEY_get_bits(key);
        *why = bits < RSA_LEAST_BITS ? "the RSA key has less than 2048 bits"
                                     : "the RSA key has more than 8192 bits";
        found = bits < RSA_LEAST_BITS || bits > RSA_MOST_BITS ? NULL
                                                              : jwt_algorithm_find(SPAN("RS256"));
    } else if (EVP_PKEY_is_a(key, "EC")) {
        found = of_group(key);
    } else if (EVP_PKEY_is_a(key, "ED25519")) {
        found = jwt_algorithm_find(SPAN("EdDSA"));
    }
    return found;
}

bool jwt_algorithm_fits(const struct jwt_algorithm *algorithm, const EVP_PKEY *key)
{
    const char *why;
    const struct jwt_algorithm *own = jwt_algorithm_of(key, &why);
    bool rsa = algorithm->kind == JWT_RSA || algorithm->kind == JWT_RSA_PSS;
    return own != NULL && (own == algorithm || (rsa && own->kind == JWT_RSA));
}

/* ------------------------------------------------------------------------------------ signatures */

static bool is_hmac(const struct jwt_algorithm *algorithm, struct span secret, struct span text,
                    struct span signature)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    return secret.len > 0 &&
           HMAC(EVP_sha256(), secret.ptr, (int)secret.len, (const unsigned char *)text.ptr,
                text.len, sum, &len) != NULL &&
           strcmp(algorithm->digest, "SHA256") == 0 && len == signature.len &&
           CRYPTO_memcmp(sum, signature.ptr, len) == 0;
}

/* A JWS has the two numbers side by side (RFC 7518, 3.4), OpenSSL wants them in DER: new, or NULL. */
static unsigned char *der_of(struct span signature, size_t coordinate, int *len)
{
    const unsigned char *bytes = (const unsigned char *)signature.ptr;
    unsigned char *der = NULL;
    if (signature.len != 2 * coordinate) {
        return NULL;
    }
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(bytes, (int)coordinate, NULL);
    BIGNUM *s = BN_bin2bn(bytes + coordinate, (int)coordinate, NULL);
    if (pair != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(pair, r, s) == 1) {
        r = s = NULL; /* the pair's */
        *len = i2d_ECDSA_SIG(pair, &der);
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(pair);
    return der;
}

/* RFC 7518, 3.5: the salt is as long as the digest. */
static bool set_padding(const struct jwt_algorithm *algorithm, EVP_PKEY_CTX *context)
{
    return algorithm->kind != JWT_RSA_PSS ||
           (EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
            EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1);
}

static bool verify(const struct jwt_algorithm *algorithm, EVP_PKEY *key, struct span text,
                   const void *signature, size_t len)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *padding = NULL;
    bool good =
        context != NULL &&
        EVP_DigestVerifyInit_ex(context, &padding, algorithm->digest, NULL, NULL, key, NULL) == 1 &&
        set_padding(algorithm, padding) &&
        EVP_DigestVerify(context, signature, len, (const unsigned char *)text.ptr, text.len) == 1;
    EVP_MD_CTX_free(context);
    return good;
}

bool jwt_signature_is_good(const struct jwt_algorithm *algorithm, EVP_PKEY *key, struct span secret,
                           struct span text, struct span signature)
{
    bool good;
    if (algorithm->kind == JWT_HMAC) {
        good = is_hmac(algorithm, secret, text, signature);
    } else if (algorithm->kind == JWT_EC) {
        int len = 0;
        unsigned char *der = der_of(signature, algorithm->coordinate, &len);
        good = der != NULL && len > 0 && verify(algorithm, key, text, der, (size_t)len);
        OPENSSL_free(der);
    } else {
        good = verify(algorithm, key, text, signature.ptr, signature.len);
    }
    jwt_key_forget_errors();
    return good;
}

/* ------------------------------------------------------------------------------------ keys */

/* Steals `build`. */
static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *build)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY *key = NULL;
    if (context == NULL || params == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        key = NULL;
    }
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(context);
    jwt_key_forget_errors();
    return key;
}

static BIGNUM *number_of(struct span bytes)
{
    return BN_bin2bn((const unsigned char *)bytes.ptr, (int)bytes.len, NULL);
}

EVP_PKEY *jwt_key_rsa(struct span n, struct span e)
{
    if (n.len == 0 || n.len > RSA_MOST_BITS / 8 + 1 || e.len == 0 ||
        e.len > RSA_EXPONENT_MOST_BYTES) {
        return NULL;
    }
    BIGNUM *modulus = number_of(n), *exponent = number_of(e);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus);
    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent);
    EVP_PKEY *key = from_params("RSA", build);
    BN_free(modulus);
    BN_free(exponent);
    return key;
}

static const struct jwt_algorithm *of_curve(struct span curve)
{
    for (size_t i = 0; i < ALGORITHMS; i++) {
        if (algorithms[i].curve != NULL && span_eq(span_str(algorithms[i].curve), curve)) {
            return &algorithms[i];
        }
    }
    return NULL;
}

/* Each coordinate has all its bytes (RFC 7518, 6.2.1.2). That the point is on the curve is looked at
 * here, once, and not for each signature. */
EVP_PKEY *jwt_key_ec(struct span curve, struct span x, struct span y)
{
    const struct jwt_algorithm *algorithm = of_curve(curve);
    unsigned char point[1 + 2 * COORDINATE_MOST] = {4}; /* not compressed (SEC 1, 2.3.3) */
    if (algorithm == NULL || x.len != algorithm->coordinate || y.len != algorithm->coordinate) {
        return NULL;
    }
    memcpy(point + 1, x.ptr, x.len);
    memcpy(point + 1 + x.len, y.ptr, y.len);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, algorithm->group, 0);
    OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + x.len + y.len);
    return from_params("EC", build);
}

EVP_PKEY *jwt_key_ed25519(struct span x)
{
    EVP_PKEY *key = x.len == ED25519_BYTES
                        ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL,
                                                      (const unsigned char *)x.ptr, x.len)
                        : NULL;
    jwt_key_forget_errors();
    return key;
}
