/* SPDX-License-Identifier: MIT */
/* chat account: what the operator's account service knows: a user's nickname, and an access token
 * for a name and a password. Its words on the wire are docs/protocols.md#chat's. */
#ifndef MUSTER_NODE_SERVICE_CHAT_ACCOUNT_H
#define MUSTER_NODE_SERVICE_CHAT_ACCOUNT_H

#include "node/proto/http/fetch.h"
#include "store/base/span.h"

struct chat_account;
struct chat_account_call;

struct chat_account_options {
    struct fetcher *fetcher; /* borrowed */
    const char *url;         /* base of the account service; "": none; borrowed */
    const char *login_url;   /* base of the login endpoints; "": none; borrowed */
    uint32_t limit_ms;       /* for one request */
    uint32_t cache_ms;       /* for so long a nickname is not asked for again; 0: always */
};

struct chat_account *chat_account_new(const struct chat_account_options *options);

/* Frees; calls must be over or cancelled. */
void chat_account_free(struct chat_account **account);

/* `text` is the nickname or the token; or NULL, with an `error` for the user. Both are borrowed.
 * Called once, from the loop or before the call returned. */
typedef void chat_account_fn(void *arg, const char *text, const char *error);

/* Asks for the nickname of `user`, whose checked token is `token`. The call, or NULL when `fn` was
 * called already. */
struct chat_account_call *chat_account_nickname(struct chat_account *account, const char *user,
                                                const char *token, chat_account_fn *fn, void *arg);

/* Gets an access token for a name and a password. */
struct chat_account_call *chat_account_login(struct chat_account *account, const char *name,
                                             const char *password, chat_account_fn *fn, void *arg);

/* Ends *call without a word, and nulls it; NULL inside is fine. */
void chat_account_cancel(struct chat_account_call **call);

#endif
