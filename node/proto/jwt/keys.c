/* SPDX-License-Identifier: MIT */
/* Keys from PEM files, secrets and JWK sets, and signatures checked with them. */
#include "node/proto/jwt/impl.h"
#include "store/base/list.h"

#include <cjose/cjose.h>
#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <stdio.h>

enum {
    RSA_LEAST_BITS = 2048,   /* RFC 7518, 3.3 */
    JWT_KEYS_SET_MOST = 100, /* keys of one set */
    JWT_KEYS_TRIES_MOST = 8, /* keys that one token is tried with */
    COORDINATE_MOST = 66,    /* bytes of one of P-521 */
    MODULUS_MOST = 1024,     /* bytes */
};

struct jwt_key {
    struct list entry;
    cjose_jwk_t *jwk;
    const char *algorithm; /* the only one that it checks; static */
    char *id;              /* kid; NULL: fits any */
    bool from_set;
};

struct jwt_keys {
    struct list all; /* struct jwt_key */
    size_t count;
    unsigned refs;
};

struct jwt_keys *jwt_keys_new(void)
{
    struct jwt_keys *keys = mem_zalloc(sizeof(*keys));
    list_init(&keys->all);
    keys->refs = 1;
    return keys;
}

struct jwt_keys *jwt_keys_ref(struct jwt_keys *keys)
{
    keys->refs++;
    return keys;
}

static void remove_key(struct jwt_keys *keys, struct jwt_key *key)
{
    list_del(&key->entry);
    keys->count--;
    cjose_jwk_release(key->jwk);
    free(key->id);
    free(key);
}

void jwt_keys_free(struct jwt_keys **keys)
{
    struct jwt_keys *gone = *keys;
    *keys = NULL;
    if (gone == NULL || --gone->refs > 0) {
        return;
    }
    LIST_EACH(it, &gone->all) {
        remove_key(gone, LIST_ITEM(it, struct jwt_key, entry));
    }
    free(gone);
}

size_t jwt_keys_count(const struct jwt_keys *keys)
{
    return keys->count;
}

/* Steals `jwk`. */
static void add_key(struct jwt_keys *keys, cjose_jwk_t *jwk, const char *algorithm, const char *id,
                    bool from_set)
{
    struct jwt_key *key = mem_zalloc(sizeof(*key));
    key->jwk = jwk;
    key->algorithm = algorithm;
    key->id = id != NULL ? mem_dup(span_str(id)) : NULL;
    key->from_set = from_set;
    list_push_back(&keys->all, &key->entry);
    keys->count++;
}

struct jwt_keys *jwt_keys_copy(const struct jwt_keys *keys)
{
    struct jwt_keys *copy = jwt_keys_new();
    cjose_err trouble;
    for (struct list *it = keys->all.next; it != &keys->all; it = it->next) {
        const struct jwt_key *key = LIST_ITEM(it, struct jwt_key, entry);
        add_key(copy, cjose_jwk_retain(key->jwk, &trouble), key->algorithm, key->id, key->from_set);
    }
    return copy;
}

static int refuse(char *error, size_t error_size, const char *text)
{
    snprintf(error, error_size, "%s", text);
    return -1;
}

/* The algorithm of a curve, or NULL. */
static const char *algorithm_of_curve(cjose_jwk_ec_curve curve)
{
    switch (curve) {
    case CJOSE_JWK_EC_P_256:
        return "ES256";
    case CJOSE_JWK_EC_P_384:
        return "ES384";
    case CJOSE_JWK_EC_P_521:
        return "ES512";
    default:
        return NULL;
    }
}

/* -------------------------------------------------------------------------------------- PEM */

static EVP_PKEY *read_pem(struct span pem)
{
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    EVP_PKEY *key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    BIO_free(bio);
    if (key == NULL) {
        bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
        X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        BIO_free(bio);
        key = certificate != NULL ? X509_get_pubkey(certificate) : NULL;
        X509_free(certificate);
    }
    ERR_clear_error();
    return key;
}

/* Bytes of the number `name` of `key`, or 0. */
static size_t get_number(const EVP_PKEY *key, const char *name, uint8_t out[static MODULUS_MOST])
{
    BIGNUM *number = NULL;
    size_t len = 0;
    if (EVP_PKEY_get_bn_param(key, name, &number) == 1 &&
        BN_num_bytes(number) <= (int)MODULUS_MOST) {
        len = (size_t)BN_bn2bin(number, out);
    }
    BN_free(number);
    return len;
}

static cjose_jwk_t *rsa_of(const EVP_PKEY *key)
{
    uint8_t modulus[MODULUS_MOST], exponent[MODULUS_MOST];
    cjose_err trouble;
    cjose_jwk_rsa_keyspec spec = {
        .n = modulus,
        .nlen = get_number(key, OSSL_PKEY_PARAM_RSA_N, modulus),
        .e = exponent,
        .elen = get_number(key, OSSL_PKEY_PARAM_RSA_E, exponent),
    };
    return spec.nlen > 0 && spec.elen > 0 ? cjose_jwk_create_RSA_spec(&spec, &trouble) : NULL;
}

static cjose_jwk_ec_curve curve_of(const EVP_PKEY *key)
{
    char name[32];
    size_t len;
    if (EVP_PKEY_get_group_name(key, name, sizeof(name), &len) != 1) {
        return CJOSE_JWK_EC_INVALID;
    }
    int nid = OBJ_txt2nid(name);
    return nid == CJOSE_JWK_EC_P_256 || nid == CJOSE_JWK_EC_P_384 || nid == CJOSE_JWK_EC_P_521
               ? (cjose_jwk_ec_curve)nid
               : CJOSE_JWK_EC_INVALID;
}

/* The key's point, each coordinate padded to the curve's size. */
static cjose_jwk_t *ec_of(const EVP_PKEY *key, cjose_jwk_ec_curve curve)
{
    uint8_t x[COORDINATE_MOST], y[COORDINATE_MOST];
    int size = (EVP_PKEY_get_bits(key) + 7) / 8;
    BIGNUM *big_x = NULL, *big_y = NULL;
    cjose_jwk_t *jwk = NULL;
    cjose_err trouble;
    if (size <= (int)COORDINATE_MOST &&
        EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_X, &big_x) == 1 &&
        EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_Y, &big_y) == 1 &&
        BN_bn2binpad(big_x, x, size) == size && BN_bn2binpad(big_y, y, size) == size) {
        cjose_jwk_ec_keyspec spec = {
            .crv = curve, .x = x, .xlen = (size_t)size, .y = y, .ylen = (size_t)size};
        jwk = cjose_jwk_create_EC_spec(&spec, &trouble);
    }
    BN_free(big_x);
    BN_free(big_y);
    return jwk;
}

static int add_public_key(struct jwt_keys *keys, const EVP_PKEY *key, char *error,
                          size_t error_size)
{
    cjose_jwk_t *jwk = NULL;
    const char *algorithm = NULL;
    if (EVP_PKEY_is_a(key, "RSA")) {
        if (EVP_PKEY_get_bits(key) < RSA_LEAST_BITS) {
            return refuse(error, error_size, "the RSA key has less than 2048 bits");
        }
        algorithm = "RS256";
        jwk = rsa_of(key);
    } else if (EVP_PKEY_is_a(key, "EC")) {
        cjose_jwk_ec_curve curve = curve_of(key);
        algorithm = algorithm_of_curve(curve);
        jwk = algorithm != NULL ? ec_of(key, curve) : NULL;
    }
    if (jwk == NULL) {
        return refuse(error, error_size, "neither RSA nor a key on P-256, P-384 or P-521");
    }
    add_key(keys, jwk, algorithm, NULL, false);
    return 0;
}

int jwt_keys_add_pem(struct jwt_keys *keys, struct span pem, char *error, size_t error_size)
{
    EVP_PKEY *key = read_pem(pem);
    if (key == NULL) {
        return refuse(error, error_size, "no public key or certificate in PEM form");
    }
    int result = add_public_key(keys, key, error, error_size);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return result;
}

int jwt_keys_add_secret(struct jwt_keys *keys, struct span secret, char *error, size_t error_size)
{
    cjose_err trouble;
    cjose_jwk_t *jwk = secret.len > 0 ? cjose_jwk_create_oct_spec((const uint8_t *)secret.ptr,
                                                                  secret.len, &trouble)
                                      : NULL;
    if (jwk == NULL) {
        return refuse(error, error_size, "no secret");
    }
    add_key(keys, jwk, "HS256", NULL, false);
    return 0;
}

/* ------------------------------------------------------------------------------------ sets */

/* The RSA algorithm that a key of a set names, RS256 when it names none; NULL: not ours. */
static const char *rsa_algorithm(const char *named)
{
    static const char *const known[] = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"};
    if (named == NULL) {
        return known[0];
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
        if (strcmp(known[i], named) == 0) {
            return known[i];
        }
    }
    return NULL;
}

static const char *algorithm_of(const cjose_jwk_t *jwk, const char *named)
{
    cjose_err trouble;
    switch (cjose_jwk_get_kty(jwk, &trouble)) {
    case CJOSE_JWK_KTY_RSA:
        return cjose_jwk_get_keysize(jwk, &trouble) >= RSA_LEAST_BITS ? rsa_algorithm(named) : NULL;
    case CJOSE_JWK_KTY_EC: {
        const char *fits = algorithm_of_curve(cjose_jwk_EC_get_curve(jwk, &trouble));
        return fits != NULL && (named == NULL || strcmp(named, fits) == 0) ? fits : NULL;
    }
    default:
        return NULL;
    }
}

static bool is_for_signatures(const json_t *item)
{
    const char *use = json_string_value(json_object_get(item, "use"));
    return json_is_object(item) && (use == NULL || strcmp(use, "sig") == 0);
}

/* Copies a member in base64url. cjose asserts that it is, and would end the process. */
static bool copy_number(json_t *to, const json_t *from, const char *name)
{
    const char *text = json_string_value(json_object_get(from, name));
    if (text == NULL || !jwt_is_base64url(span_str(text))) {
        return false;
    }
    json_object_set_new(to, name, json_string(text));
    return true;
}

/* The public half of a key of a set, checked: new, or NULL. */
static cjose_jwk_t *import(const json_t *item)
{
    const char *kind = json_string_value(json_object_get(item, "kty"));
    const char *curve = json_string_value(json_object_get(item, "crv"));
    json_t *public = json_object();
    cjose_jwk_t *jwk = NULL;
    cjose_err trouble;
    bool rsa = kind != NULL && strcmp(kind, "RSA") == 0;
    bool ec = kind != NULL && strcmp(kind, "EC") == 0 && curve != NULL;
    if (rsa ? copy_number(public, item, "n") && copy_number(public, item, "e")
            : ec && copy_number(public, item, "x") && copy_number(public, item, "y")) {
        json_object_set_new(public, "kty", json_string(kind));
        if (ec) {
            json_object_set_new(public, "crv", json_string(curve));
        }
        jwk = cjose_jwk_import_json((cjose_header_t *)public, &trouble);
    }
    json_decref(public);
    ERR_clear_error();
    return jwk;
}

static void add_of_set(struct jwt_keys *keys, const json_t *item)
{
    cjose_jwk_t *jwk = is_for_signatures(item) ? import(item) : NULL;
    if (jwk == NULL) {
        return;
    }
    const char *algorithm = algorithm_of(jwk, json_string_value(json_object_get(item, "alg")));
    if (algorithm == NULL) {
        cjose_jwk_release(jwk);
        return;
    }
    add_key(keys, jwk, algorithm, json_string_value(json_object_get(item, "kid")), true);
}

int jwt_keys_set_jwks(struct jwt_keys *keys, struct span json, char *error, size_t error_size)
{
    json_t *root = json_loadb(json.ptr, json.len, 0, NULL);
    const json_t *list = json_object_get(root, "keys");
    struct jwt_keys *fresh = jwt_keys_new();
    for (size_t i = 0; i < json_array_size(list) && i < JWT_KEYS_SET_MOST; i++) {
        add_of_set(fresh, json_array_get(list, i));
    }
    json_decref(root);
    int result = fresh->count > 0 ? 0 : refuse(error, error_size, "no usable key in the set");
    if (result == 0) {
        LIST_EACH(it, &keys->all) {
            struct jwt_key *key = LIST_ITEM(it, struct jwt_key, entry);
            if (key->from_set) {
                remove_key(keys, key);
            }
        }
        keys->count += fresh->count;
        list_splice(&keys->all, &fresh->all);
    }
    jwt_keys_free(&fresh);
    return result;
}

/* ------------------------------------------------------------------------------ signatures */

static bool has_id(const struct jwt_key *key, const struct jwt_head *head)
{
    return key->id != NULL && head->has_kid && span_eq(span_str(key->id), buf_span(&head->kid));
}

static bool fits(const struct jwt_key *key, const struct jwt_head *head)
{
    return (key->id == NULL || !head->has_kid || has_id(key, head)) &&
           span_eq(span_str(key->algorithm), buf_span(&head->algorithm));
}

static bool is_signed_by(struct span token, const struct jwt_key *key)
{
    cjose_err trouble;
    cjose_jws_t *jws = cjose_jws_import(token.ptr, token.len, &trouble);
    bool good = jws != NULL && cjose_jws_verify(jws, key->jwk, &trouble);
    cjose_jws_release(jws);
    ERR_clear_error();
    return good;
}

enum jwt_result jwt_keys_verify(const struct jwt_keys *keys, struct span token,
                                const struct jwt_head *head, const char **why)
{
    int tries = 0;
    bool known = false;
    for (struct list *it = keys->all.next; it != &keys->all; it = it->next) {
        const struct jwt_key *key = LIST_ITEM(it, struct jwt_key, entry);
        known |= has_id(key, head);
        if (tries < JWT_KEYS_TRIES_MOST && fits(key, head)) {
            tries++;
            if (is_signed_by(token, key)) {
                return JWT_GOOD;
            }
        }
    }
    *why = tries > 0 ? "wrong signature" : "no key for its algorithm and key id";
    return (head->has_kid && !known) || keys->count == 0 ? JWT_UNKNOWN_KEY : JWT_REFUSED;
}

/* -------------------------------------------------------------------------------- for jwt.c */

bool jwt_decode(struct span part, struct buf *out)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    cjose_err trouble;
    if (!cjose_base64url_decode(part.ptr, part.len, &bytes, &len, &trouble)) {
        return false;
    }
    buf_append(out, span_of(bytes, len));
    free(bytes);
    return true;
}

bool jwt_list_has(struct span json, const char *wanted)
{
    json_t *list = json_loadb(json.ptr, json.len, 0, NULL);
    bool found = false;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *one = json_string_value(json_array_get(list, i));
        found |= one != NULL && strcmp(one, wanted) == 0;
    }
    json_decref(list);
    return found;
}
