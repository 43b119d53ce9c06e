/* SPDX-License-Identifier: MIT */
/* jwt: are a token's signature and claims good (RFC 7519, 7515, 7518)? Pure: keys and time come
 * from the caller. The arithmetic is OpenSSL's.
 *
 * A key says which algorithm it is for; the token's header may only agree. So a token signed with
 * another algorithm than its key's (none, or HS256 with a public key as the secret) is refused
 * before anything is computed (RFC 8725, 3.1). */
#ifndef MUSTER_NODE_PROTO_JWT_JWT_H
#define MUSTER_NODE_PROTO_JWT_JWT_H

#include "store/base/span.h"

#include <stdbool.h>
#include <stdint.h>

struct jwt_keys;

enum {
    JWT_TOKEN_LIMIT = 16 * 1024, /* bytes; a longer token is unreadable */
    JWT_SUBJECT_LIMIT = 128,     /* bytes */
    JWT_NICKNAME_LIMIT = 256,    /* bytes; a longer one is cut */
    JWT_SECRET_LEAST = 32,       /* bytes that a secret should have (RFC 7518, 3.2) */
};

/* New, empty. */
struct jwt_keys *jwt_keys_new(void);
/* One reference less; the last one frees. */
void jwt_keys_free(struct jwt_keys **keys);

/* Another reference to keys that nobody changes any more: other threads may check with them. The
 * loop's thread alone takes and gives back references. */
struct jwt_keys *jwt_keys_ref(struct jwt_keys *keys);

/* New, with the same keys, to be changed in place of those. */
struct jwt_keys *jwt_keys_copy(const struct jwt_keys *keys);

/* Adds the public key (or that of an X.509 certificate) in `pem`: RSA of 2048 bits and more checks
 * RS256, the curve P-256 ES256, P-384 ES384, P-521 ES512, Ed25519 EdDSA. 0, or -1 with a message. */
int jwt_keys_add_pem(struct jwt_keys *keys, struct span pem, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* Adds a secret of at least one byte for HS256. */
int jwt_keys_add_secret(struct jwt_keys *keys, struct span secret, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* Replaces the keys of earlier sets by those in the JWKS `json` (RFC 7517). Keys of other kinds or
 * for other uses are passed over; symmetric ones always, since a published secret is none. 0, or -1
 * with a message (and the earlier set stays) when there is no usable key in it. */
int jwt_keys_set_jwks(struct jwt_keys *keys, struct span json, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* Adds those of `from` that came from a set to `to`. */
void jwt_keys_copy_set(struct jwt_keys *to, const struct jwt_keys *from);

/* How many keys there are. */
size_t jwt_keys_count(const struct jwt_keys *keys);

struct jwt_rules {
    const char *audience; /* must be among the token's; NULL or "": any */
    const char *issuer;   /* must be the token's; NULL or "": any */
    const char *nickname; /* claim that holds the nickname; NULL or "": none */
    int64_t leeway_s;     /* clocks may differ by so much */
};

struct jwt_claims {
    char subject[JWT_SUBJECT_LIMIT + 1];
    char nickname[JWT_NICKNAME_LIMIT + 1]; /* "": none */
    int64_t expires_s;                     /* unix seconds, without the leeway; 0: not said */
};

enum jwt_result {
    JWT_GOOD,
    JWT_UNREADABLE,  /* no token at all */
    JWT_REFUSED,     /* time, audience, issuer or subject */
    JWT_UNKNOWN_KEY, /* signed by none of the keys; a newer set might have its key, also under a key
                        id that is known */
};

/* Checks `token` as of `now_s` (unix seconds). *why: a few words for the log, static. `claims` is
 * filled in when it is good. */
enum jwt_result jwt_check(const struct jwt_keys *keys, const struct jwt_rules *rules,
                          struct span token, int64_t now_s, struct jwt_claims *claims,
                          const char **why) __attribute__((warn_unused_result));

/* Reads the claims without checking anything: for development. false when there are none. */
bool jwt_peek(struct span token, const struct jwt_rules *rules, struct jwt_claims *claims);

#endif
