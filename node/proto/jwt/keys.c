/* SPDX-License-Identifier: MIT */
/* Keys from PEM files, secrets and JWK sets, and signatures checked with them. */
#include "node/proto/jwt/impl.h"
#include "node/proto/jwt/signature.h"
#include "store/base/list.h"

#include <jansson.h>
#include <nettle/base64.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <stdio.h>

enum {
    JWT_KEYS_SET_MOST = 100, /* keys of one set */
    JWT_KEYS_TRIES_MOST = 8, /* keys that one token is tried with */
};

struct jwt_key {
    struct list entry;
    EVP_PKEY *public;                      /* NULL: */
    struct buf secret;                     /* this */
    const struct jwt_algorithm *algorithm; /* the only one that it checks */
    char *id;                              /* kid; NULL: fits any */
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
    EVP_PKEY_free(key->public);
    buf_free(&key->secret);
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

static struct jwt_key *add_key(struct jwt_keys *keys, const struct jwt_algorithm *algorithm)
{
    struct jwt_key *key = mem_zalloc(sizeof(*key));
    key->algorithm = algorithm;
    list_push_back(&keys->all, &key->entry);
    keys->count++;
    return key;
}

static void copy_key(struct jwt_keys *to, const struct jwt_key *from)
{
    struct jwt_key *key = add_key(to, from->algorithm);
    if (from->public != NULL && EVP_PKEY_up_ref(from->public) == 1) {
        key->public = from->public;
    }
    buf_append(&key->secret, buf_span(&from->secret));
    key->id = from->id != NULL ? mem_dup(span_str(from->id)) : NULL;
    key->from_set = from->from_set;
}

static void copy_keys(struct jwt_keys *to, const struct jwt_keys *from, bool set_only)
{
    for (struct list *it = from->all.next; it != &from->all; it = it->next) {
        const struct jwt_key *key = LIST_ITEM(it, struct jwt_key, entry);
        if (key->from_set || !set_only) {
            copy_key(to, key);
        }
    }
}

struct jwt_keys *jwt_keys_copy(const struct jwt_keys *keys)
{
    struct jwt_keys *copy = jwt_keys_new();
    copy_keys(copy, keys, false);
    return copy;
}

void jwt_keys_copy_set(struct jwt_keys *to, const struct jwt_keys *from)
{
    copy_keys(to, from, true);
}

static int refuse(char *error, size_t error_size, const char *text)
{
    snprintf(error, error_size, "%s", text);
    return -1;
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
    jwt_key_forget_errors();
    return key;
}

int jwt_keys_add_pem(struct jwt_keys *keys, struct span pem, char *error, size_t error_size)
{
    EVP_PKEY *key = read_pem(pem);
    if (key == NULL) {
        return refuse(error, error_size, "no public key or certificate in PEM form");
    }
    const char *why;
    const struct jwt_algorithm *algorithm = jwt_algorithm_of(key, &why);
    if (algorithm == NULL) {
        EVP_PKEY_free(key);
        return refuse(error, error_size, why);
    }
    add_key(keys, algorithm)->public = key;
    return 0;
}

int jwt_keys_add_secret(struct jwt_keys *keys, struct span secret, char *error, size_t error_size)
{
    if (secret.len == 0) {
        return refuse(error, error_size, "no secret");
    }
    buf_append(&add_key(keys, jwt_algorithm_find(SPAN("HS256")))->secret, secret);
    return 0;
}

/* ------------------------------------------------------------------------------------ sets */

/* The algorithm that a key of a set checks: what it names, if it can; NULL: not ours. */
static const struct jwt_algorithm *algorithm_of(const EVP_PKEY *key, const char *named)
{
    const char *why;
    const struct jwt_algorithm *own = jwt_algorithm_of(key, &why);
    const struct jwt_algorithm *wanted = named != NULL ? jwt_algorithm_find(span_str(named)) : own;
    return own != NULL && wanted != NULL && jwt_algorithm_fits(wanted, key) ? wanted : NULL;
}

static bool is_for_signatures(const json_t *item)
{
    const char *use = json_string_value(json_object_get(item, "use"));
    return json_is_object(item) && (use == NULL || strcmp(use, "sig") == 0);
}

/* Appends what a member in base64url means; nothing when it is none. */
static void get_bytes(const json_t *item, const char *name, struct buf *out)
{
    const char *text = json_string_value(json_object_get(item, name));
    out->len = 0;
    if (text != NULL && jwt_is_base64url(span_str(text)) && !jwt_decode(span_str(text), out)) {
        out->len = 0;
    }
}

static bool is_word(const json_t *item, const char *name, const char *wanted)
{
    const char *text = json_string_value(json_object_get(item, name));
    return text != NULL && strcmp(text, wanted) == 0;
}

/* The public half of a key of a set, checked: new, or NULL. */
static EVP_PKEY *import(const json_t *item)
{
    struct buf first = {0}, second = {0};
    const char *curve = json_string_value(json_object_get(item, "crv"));
    EVP_PKEY *key = NULL;
    if (is_word(item, "kty", "RSA")) {
        get_bytes(item, "n", &first);
        get_bytes(item, "e", &second);
        key = jwt_key_rsa(buf_span(&first), buf_span(&second));
    } else if (is_word(item, "kty", "EC") && curve != NULL) {
        get_bytes(item, "x", &first);
        get_bytes(item, "y", &second);
        key = jwt_key_ec(span_str(curve), buf_span(&first), buf_span(&second));
    } else if (is_word(item, "kty", "OKP") && is_word(item, "crv", "Ed25519")) {
        get_bytes(item, "x", &first);
        key = jwt_key_ed25519(buf_span(&first));
    }
    buf_free(&first);
    buf_free(&second);
    return key;
}

static void add_of_set(struct jwt_keys *keys, const json_t *item)
{
    EVP_PKEY *public = is_for_signatures(item) ? import(item) : NULL;
    const char *named = json_string_value(json_object_get(item, "alg"));
    const char *id = json_string_value(json_object_get(item, "kid"));
    const struct jwt_algorithm *algorithm = public != NULL ? algorithm_of(public, named) : NULL;
    if (algorithm == NULL) {
        EVP_PKEY_free(public);
        return;
    }
    struct jwt_key *key = add_key(keys, algorithm);
    key->public = public;
    key->id = id != NULL ? mem_dup(span_str(id)) : NULL;
    key->from_set = true;
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
           span_eq(span_str(jwt_algorithm_name(key->algorithm)), buf_span(&head->algorithm));
}

/* What is signed, and the signature. */
struct signed_text {
    struct span text;
    struct buf signature;
};

static bool is_signed_by(const struct signed_text *it, const struct jwt_key *key)
{
    return jwt_signature_is_good(key->algorithm, key->public, buf_span(&key->secret), it->text,
                                 buf_span(&it->signature));
}

static bool split(struct span token, struct signed_text *out)
{
    const char *dot = memrchr(token.ptr, '.', token.len);
    size_t len = (size_t)(dot - token.ptr);
    out->text = span_of(token.ptr, len);
    struct span rest = span_skip(token, len + 1);
    return rest.len > 0 && jwt_decode(rest, &out->signature);
}

static bool any_signed(const struct jwt_keys *keys, const struct signed_text *it,
                       const struct jwt_head *head, int *tries)
{
    for (struct list *at = keys->all.next; at != &keys->all; at = at->next) {
        const struct jwt_key *key = LIST_ITEM(at, struct jwt_key, entry);
        if (*tries < JWT_KEYS_TRIES_MOST && fits(key, head)) {
            ++*tries;
            if (is_signed_by(it, key)) {
                return true;
            }
        }
    }
    return false;
}

enum jwt_result jwt_keys_verify(const struct jwt_keys *keys, struct span token,
                                const struct jwt_head *head, const char **why)
{
    struct signed_text it = {0};
    int tries = 0;
    bool good = split(token, &it) && any_signed(keys, &it, head, &tries);
    buf_free(&it.signature);
    if (good) {
        return JWT_GOOD;
    }
    *why = tries > 0 ? "wrong signature" : "no key for its algorithm and key id";
    return JWT_UNKNOWN_KEY;
}

/* -------------------------------------------------------------------------------- for jwt.c */

bool jwt_decode(struct span part, struct buf *out)
{
    struct base64_decode_ctx state;
    uint8_t *room = (uint8_t *)buf_room(out, BASE64_DECODE_LENGTH(part.len));
    size_t len = BASE64_DECODE_LENGTH(part.len);
    base64url_decode_init(&state);
    if (base64_decode_update(&state, &len, room, part.len, part.ptr) != 1) {
        return false;
    }
    buf_grew(out, len);
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
