/* SPDX-License-Identifier: MIT */
/* What jwt.c and keys.c share; no other file includes it. The one reads JSON with json_scan, the
 * other with jansson: their headers do not go together. */
#ifndef MUSTER_NODE_PROTO_JWT_IMPL_H
#define MUSTER_NODE_PROTO_JWT_IMPL_H

#include "node/proto/jwt/jwt.h"
#include "store/base/buf.h"

struct jwt_head {
    struct buf algorithm, kid;
    bool has_kid;
};

/* Is `token` signed by one of the keys that fit its header? */
enum jwt_result jwt_keys_verify(const struct jwt_keys *keys, struct span token,
                                const struct jwt_head *head, const char **why)
    __attribute__((warn_unused_result));

/* At least one character, none but the 64 of RFC 4648, 5, and a length that can be. */
bool jwt_is_base64url(struct span text);

/* Appends what `part` means in base64url. false when it is none. */
bool jwt_decode(struct span part, struct buf *out) __attribute__((warn_unused_result));

/* Is `wanted` among the strings of the array `json`, which is valid? */
bool jwt_list_has(struct span json, const char *wanted);

#endif
