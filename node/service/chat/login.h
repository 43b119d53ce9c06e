/* SPDX-License-Identifier: MIT */
/* chat login: finds out which user a client is.
 *
 *     name and password --account service--> token --.
 *     token -----------------------------------------+--> checked --> nickname --> chat_user
 *                                                       jwt, keys     claim, or account service */
#ifndef MUSTER_NODE_SERVICE_CHAT_LOGIN_H
#define MUSTER_NODE_SERVICE_CHAT_LOGIN_H

#include "node/core/pool.h"
#include "node/proto/jwt/jwt.h"

#include <event2/event.h>
#include <stddef.h>

struct chat_login;
struct chat_attempt;

/* Strings are borrowed for the login's life; "" means none. */
struct chat_login_options {
    struct event_base *base;
    struct job_pool *pool;                /* checks signatures; borrowed */
    bool development;                     /* any token will do */
    const char *key_file, *jwks, *secret; /* what tokens are checked with */
    const char *audience, *issuer, *nickname_claim;
    const char *account_url, *login_url;
    int64_t leeway_s;
    uint32_t jwks_refresh_ms, jwks_pause_ms;
    uint32_t account_ms, account_cache_ms;
    unsigned account_parallel;
};

struct chat_user {
    char id[JWT_SUBJECT_LIMIT + 1];
    char nickname[JWT_NICKNAME_LIMIT + 1];
    int64_t expires_s; /* unix seconds; 0: never */
};

/* Are the files that the options name good? 0, or -1 with a message. */
int chat_login_check(const struct chat_login_options *options, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* New, or NULL with a message. */
struct chat_login *chat_login_new(const struct chat_login_options *options, char *error,
                                  size_t error_size) __attribute__((warn_unused_result));

/* Frees; attempts must be over or cancelled. NULL inside is fine. */
void chat_login_free(struct chat_login **login);

/* `user`, or NULL with an `error` for the client; borrowed until return. Called once, unless
 * cancelled. */
typedef void chat_login_fn(void *arg, const struct chat_user *user, const char *error);

/* Begins to find out. The attempt, or NULL when `fn` was called already. */
struct chat_attempt *chat_login_token(struct chat_login *login, struct span token,
                                      chat_login_fn *fn, void *arg);
struct chat_attempt *chat_login_password(struct chat_login *login, struct span name,
                                         struct span password, chat_login_fn *fn, void *arg);

/* Ends *attempt without a word, and nulls it; NULL inside is fine. */
void chat_login_cancel(struct chat_attempt **attempt);

#endif
