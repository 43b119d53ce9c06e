/* SPDX-License-Identifier: MIT */
/* jwt signature: one key and its algorithm, and signatures checked with it (RFC 7515, 7518, 8037).
 * The arithmetic is OpenSSL's. */
#ifndef MUSTER_NODE_PROTO_JWT_SIGNATURE_H
#define MUSTER_NODE_PROTO_JWT_SIGNATURE_H

#include "store/base/span.h"

#include <stdbool.h>

struct evp_pkey_st;
struct jwt_algorithm;

/* The algorithm of that name, static; NULL: not ours. */
const struct jwt_algorithm *jwt_algorithm_find(struct span name);

/* Its name as tokens have it; static. */
const char *jwt_algorithm_name(const struct jwt_algorithm *algorithm);

/* The algorithm that the public `key` checks where nobody says which: RS256 for RSA, else the only
 * one. NULL, with a text in *why, when it is of no use: another kind, or too weak. */
const struct jwt_algorithm *jwt_algorithm_of(const struct evp_pkey_st *key, const char **why);

/* May `key`, which jwt_algorithm_of knows, check that algorithm? */
bool jwt_algorithm_fits(const struct jwt_algorithm *algorithm, const struct evp_pkey_st *key);

/* Is `signature` (as it is, not in base64url) one of `text` by the owner of `key`? For HMAC `key` is
 * NULL and `secret` counts. May be called from any thread. */
bool jwt_signature_is_good(const struct jwt_algorithm *algorithm, struct evp_pkey_st *key,
                           struct span secret, struct span text, struct span signature);

/* The public key of a JWK (RFC 7518, 6; RFC 8037, 2) with these members, decoded; new, or NULL. */
struct evp_pkey_st *jwt_key_rsa(struct span n, struct span e);
struct evp_pkey_st *jwt_key_ec(struct span curve, struct span x, struct span y);
struct evp_pkey_st *jwt_key_ed25519(struct span x);

/* Whatever OpenSSL noted on the way is forgotten. */
void jwt_key_forget_errors(void);

#endif
