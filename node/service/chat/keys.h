/* SPDX-License-Identifier: MIT */
/* chat keys: the keys that tokens are checked with: a PEM file, a secret, a JWK set from a file or
 * a URL. Files and the secret are looked at each second, and read again when they changed. A set from
 * a URL is fetched before a token is judged by it when it has grown old, and when no key of it signed
 * the token, but never more often than the pause says: a client that sends forged tokens causes no
 * requests to the provider. Where it cannot be fetched, the earlier one counts on. */
#ifndef MUSTER_NODE_SERVICE_CHAT_KEYS_H
#define MUSTER_NODE_SERVICE_CHAT_KEYS_H

#include "node/proto/http/fetch.h"
#include "node/proto/jwt/jwt.h"
#include "store/base/list.h"

#include <stddef.h>

struct chat_keys;

struct chat_keys_options {
    struct fetcher *fetcher; /* borrowed */
    const char *key_file;    /* "" : none; strings are borrowed */
    const char *jwks;        /* file, or http(s) URL */
    const char *secret;      /* may change */
    uint32_t refresh_ms;     /* age from which on a set is fetched again */
    uint32_t pause_ms;       /* least time between two fetches */
    uint32_t limit_ms;       /* for one fetch */
};

/* New; files are read now, a URL is fetched as soon as the loop runs. NULL with a message when a
 * file is wrong. */
struct chat_keys *chat_keys_new(const struct chat_keys_options *options, char *error,
                                size_t error_size) __attribute__((warn_unused_result));
/* Are the files that they name good? 0, or -1 with a message. `fetcher` is not needed. */
int chat_keys_check(const struct chat_keys_options *options, char *error, size_t error_size)
    __attribute__((warn_unused_result));

void chat_keys_free(struct chat_keys **keys);

/* The keys as of now, borrowed until the next turn. jwt_keys_ref keeps them. */
struct jwt_keys *chat_keys_now(struct chat_keys *keys);

/* Part of the object that waits for a newer set. */
struct chat_keys_wait {
    struct list entry;
    void (*fn)(struct chat_keys_wait *wait); /* the set is newer, or could not be had */
};

enum chat_keys_renewal {
    RENEWAL_NONE,  /* there is nothing newer to be had now */
    RENEWAL_LATER, /* `wait` is in line; its fn will be called */
};

/* Before a token is judged: is the set young enough? */
enum chat_keys_renewal chat_keys_settle(struct chat_keys *keys, struct chat_keys_wait *wait);

/* None of the keys signed a token: is there a newer set? */
enum chat_keys_renewal chat_keys_renew(struct chat_keys *keys, struct chat_keys_wait *wait);

/* Out of the line; harmless when it is in none. */
void chat_keys_unwait(struct chat_keys_wait *wait);

#endif
