/* SPDX-License-Identifier: MIT */
#include "node/service/chat/account.h"

#include "node/core/log.h"
#include "store/base/buf.h"
#include "store/base/clock.h"
#include "store/base/list.h"
#include "store/base/map.h"

#include <jansson.h>
#include <stdlib.h>

#define UNAVAILABLE "the account service is unavailable, please try again"

enum {
    ANSWER_MOST = 64 * 1024, /* bytes of an answer */
    NAMES_MOST = 20000,      /* nicknames kept */
    REPORT_MS = 1000,
    TEXT_MOST = 300, /* bytes of what the service says to users */
};

struct chat_account {
    struct chat_account_options options;
    struct map names; /* struct known_name by user */
    struct list by_age;
    uint64_t reported_ms;
    unsigned failures; /* since then */
};

struct known_name {
    struct map_node node;
    struct list entry;
    uint64_t until_ms;
    char *user, *nickname;
};

struct chat_account_call {
    struct chat_account *account;
    struct fetch *fetch;
    char *user; /* whose nickname; NULL: a login */
    bool has_refresh;
    chat_account_fn *fn;
    void *arg;
};

/* ------------------------------------------------------------------------------------ cache */

static void forget(struct chat_account *account, struct known_name *known)
{
    map_remove(&account->names, &known->node);
    list_del(&known->entry);
    free(known->user);
    free(known->nickname);
    free(known);
}

static const char *recall(struct chat_account *account, const char *user)
{
    struct map_node *node = map_find(&account->names, span_str(user));
    if (node == NULL) {
        return NULL;
    }
    struct known_name *known = MAP_ENTRY(node, struct known_name, node);
    if (known->until_ms <= clock_monotonic_ms()) {
        forget(account, known);
        return NULL;
    }
    return known->nickname;
}

static void remember(struct chat_account *account, const char *user, const char *nickname)
{
    struct map_node *node = map_find(&account->names, span_str(user));
    if (account->options.cache_ms == 0) {
        return;
    }
    if (node != NULL) {
        forget(account, MAP_ENTRY(node, struct known_name, node));
    } else if (account->names.count >= NAMES_MOST) {
        forget(account, LIST_ITEM(account->by_age.next, struct known_name, entry));
    }
    struct known_name *known = mem_zalloc(sizeof(*known));
    known->user = mem_dup(span_str(user));
    known->nickname = mem_dup(span_str(nickname));
    known->until_ms = clock_monotonic_ms() + account->options.cache_ms;
    map_insert(&account->names, &known->node, span_str(known->user));
    list_push_back(&account->by_age, &known->entry);
}

/* ------------------------------------------------------------------------------------ calls */

static void call_free(struct chat_account_call *call)
{
    fetch_cancel(&call->fetch);
    free(call->user);
    free(call);
}

void chat_account_cancel(struct chat_account_call **call)
{
    if (*call != NULL) {
        call_free(*call);
        *call = NULL;
    }
}

static void finish(struct chat_account_call *call, const char *text, const char *error)
{
    chat_account_fn *fn = call->fn;
    void *arg = call->arg;
    call_free(call);
    fn(arg, text, error);
}

/* What the service says in its own words: the first of the keys that such services use. NULL: it
 * says nothing. */
static const char *words_of(const json_t *answer)
{
    static const char *const keys[] = {"errorMessage", "message", "error"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        const json_t *said = json_object_get(answer, keys[i]);
        said = json_is_array(said) ? json_array_get(said, 0) : said;
        if (json_string_length(said) > 0) {
            return json_string_value(said);
        }
    }
    return NULL;
}

/* Ends the call with the service's refusal. */
static void refuse(struct chat_account_call *call, int status, const json_t *answer,
                   const char *otherwise)
{
    const char *words = words_of(answer);
    char text[TEXT_MOST];
    log_debug("account service refused", LOG_NUMBER_FIELD("status", status),
              LOG_TEXT_FIELD("said", words != NULL ? words : ""));
    snprintf(text, sizeof(text), "%s",
             words != NULL   ? words
             : status >= 500 ? UNAVAILABLE
                             : otherwise);
    finish(call, NULL, text);
}

static json_t *parse(struct span body)
{
    return body.len > 0 ? json_loadb(body.ptr, body.len, 0, NULL) : NULL;
}

static struct fetch *start(struct chat_account_call *call, const char *url, const char *bearer,
                           struct span json, fetch_fn *fn)
{
    return fetch_start(call->account->options.fetcher,
                       &(struct fetch_request){
                           .url = url,
                           .bearer = bearer,
                           .json = json,
                           .limit_ms = call->account->options.limit_ms,
                           .body_limit = ANSWER_MOST,
                       },
                       fn, call);
}

/* A service that is away is away for every login: one line a second says so. */
static void report(struct chat_account *account, const char *error)
{
    uint64_t now = clock_monotonic_ms();
    account->failures++;
    if (now - account->reported_ms >= REPORT_MS) {
        log_warn("account service cannot be reached", LOG_TEXT_FIELD("error", error),
                 LOG_NUMBER_FIELD("failures", account->failures));
        account->reported_ms = now;
        account->failures = 0;
    }
}

static struct chat_account_call *call_new(struct chat_account *account, chat_account_fn *fn,
                                          void *arg)
{
    struct chat_account_call *call = mem_zalloc(sizeof(*call));
    call->account = account;
    call->fn = fn;
    call->arg = arg;
    return call;
}

/* --------------------------------------------------------------------------------- nickname */

static void on_nickname(void *arg, int status, struct span body, const char *error)
{
    struct chat_account_call *call = arg;
    json_t *answer = parse(body);
    const char *nickname = json_string_value(json_object_get(answer, "nickname"));
    call->fetch = NULL;
    if (status == 0 || (status < 300 && !json_is_object(answer))) {
        report(call->account, status == 0 ? error : "its answer is no JSON object");
        finish(call, NULL, UNAVAILABLE);
    } else if (status >= 300) {
        refuse(call, status, answer, "bad request");
    } else {
        nickname = nickname != NULL && nickname[0] != '\0' ? nickname : call->user;
        remember(call->account, call->user, nickname);
        char *name = mem_dup(span_str(nickname)); /* may be the call's own */
        finish(call, name, NULL);
        free(name);
    }
    json_decref(answer);
}

struct chat_account_call *chat_account_nickname(struct chat_account *account, const char *user,
                                                const char *token, chat_account_fn *fn, void *arg)
{
    const char *known = recall(account, user);
    if (known != NULL) {
        fn(arg, known, NULL);
        return NULL;
    }
    struct chat_account_call *call = call_new(account, fn, arg);
    struct buf url = {0};
    call->user = mem_dup(span_str(user));
    buf_printf(&url, "%s/idm/accounts/", account->options.url);
    fetch_escape(span_str(user), &url);
    call->fetch = start(call, buf_text(&url), token, span_of(NULL, 0), on_nickname);
    buf_free(&url);
    if (call->fetch == NULL) {
        report(account, "too many requests wait for it");
        finish(call, NULL, UNAVAILABLE);
        return NULL;
    }
    return call;
}

/* ------------------------------------------------------------------------------------ login */

static struct fetch *post(struct chat_account_call *call, const char *path, json_t *json,
                          fetch_fn *fn)
{
    struct buf url = {0};
    char *text = json_dumps(json, JSON_COMPACT);
    buf_printf(&url, "%s%s", call->account->options.login_url, path);
    struct fetch *fetch = start(call, buf_text(&url), NULL, span_str(text), fn);
    buf_free(&url);
    free(text);
    json_decref(json);
    return fetch;
}

/* {"refreshToken": {"value": "..."}}: the first step; {"accessToken": ...} the second. */
static const char *value_of(const json_t *answer, const char *key)
{
    const char *value = json_string_value(json_object_get(json_object_get(answer, key), "value"));
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static void on_token(void *arg, int status, struct span body, const char *error)
{
    struct chat_account_call *call = arg;
    json_t *answer = parse(body);
    const char *value = value_of(answer, call->has_refresh ? "accessToken" : "refreshToken");
    call->fetch = NULL;
    if (status == 0) {
        report(call->account, error);
        finish(call, NULL, UNAVAILABLE);
    } else if (status >= 300 || value == NULL) {
        refuse(call, status, answer, "invalid credentials");
    } else if (call->has_refresh) {
        finish(call, value, NULL);
    } else {
        call->has_refresh = true;
        call->fetch = post(call, "/idm/auth/access-token",
                           json_pack("{s:s}", "refreshToken", value), on_token);
        if (call->fetch == NULL) {
            finish(call, NULL, UNAVAILABLE);
        }
    }
    json_decref(answer);
}

struct chat_account_call *chat_account_login(struct chat_account *account, const char *name,
                                             const char *password, chat_account_fn *fn, void *arg)
{
    struct chat_account_call *call = call_new(account, fn, arg);
    json_t *json = json_pack("{s:s, s:s, s:s, s:s}", "username", name, "password", password, "type",
                             "credentials", "clientType", "game");
    call->fetch = post(call, "/idm/auth/login", json, on_token);
    if (call->fetch == NULL) {
        finish(call, NULL, UNAVAILABLE);
        return NULL;
    }
    return call;
}

/* ------------------------------------------------------------------------------------- life */

struct chat_account *chat_account_new(const struct chat_account_options *options)
{
    struct chat_account *account = mem_zalloc(sizeof(*account));
    account->options = *options;
    map_init(&account->names);
    list_init(&account->by_age);
    return account;
}

void chat_account_free(struct chat_account **account)
{
    if (*account == NULL) {
        return;
    }
    while (!list_empty(&(*account)->by_age)) {
        forget(*account, LIST_ITEM((*account)->by_age.next, struct known_name, entry));
    }
    map_deinit(&(*account)->names);
    free(*account);
    *account = NULL;
}
