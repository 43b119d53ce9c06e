/* SPDX-License-Identifier: MIT */
#include "node/service/chat/login.h"

#include "node/core/log.h"
#include "node/proto/http/fetch.h"
#include "node/service/chat/account.h"
#include "node/service/chat/keys.h"
#include "store/base/clock.h"
#include "store/base/mem.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    FETCHES_WAITING = 4000, /* requests to the account service that may wait for their turn */
    REFUSED_LINE_MS = 1000, /* between two lines about tokens: any client may send some */
};

struct chat_login {
    struct chat_login_options options;
    struct jwt_rules rules;
    struct fetcher *fetcher;
    struct chat_keys *keys;
    struct chat_account *account;
    uint64_t refused_line_ms; /* monotonic, of the last line about a refused token; 0: none yet */
    uint64_t refused;         /* tokens since that line */
};

/* A token that is being checked, off the loop. */
struct token_check {
    struct pool_job job;
    struct chat_attempt *attempt; /* NULL: nobody waits for it any more */
    struct jwt_keys *keys;        /* a reference */
    struct jwt_rules rules;
    char *token;
    struct jwt_claims claims;
    enum jwt_result result;
    const char *why;
};

struct chat_attempt {
    struct chat_login *login;
    struct token_check *check;      /* what it waits for, or */
    struct chat_account_call *call; /* this, or */
    struct chat_keys_wait wait;     /* this */
    bool settled;                   /* the keys were young enough, or were fetched for it */
    bool renewed;                   /* they were fetched because none of them signed its token */
    bool inside;                    /* chat_login_* has not returned yet */
    bool over;
    char *token;
    struct chat_user user;
    chat_login_fn *fn;
    void *arg;
};

static void attempt_free(struct chat_attempt *attempt)
{
    if (attempt->check != NULL) {
        attempt->check->attempt = NULL;
    }
    chat_account_cancel(&attempt->call);
    chat_keys_unwait(&attempt->wait);
    free(attempt->token);
    free(attempt);
}

void chat_login_cancel(struct chat_attempt **attempt)
{
    if (*attempt != NULL) {
        attempt_free(*attempt);
        *attempt = NULL;
    }
}

/* Reports the result of the attempt. The attempt is gone afterwards, unless its caller still holds
 * it. */
static void finish(struct chat_attempt *attempt, const char *error)
{
    struct chat_user user = attempt->user;
    chat_login_fn *fn = attempt->fn;
    void *arg = attempt->arg;
    char text[512];
    snprintf(text, sizeof(text), "%s", error != NULL ? error : "");
    attempt->over = true;
    if (!attempt->inside) {
        attempt_free(attempt);
    }
    fn(arg, error == NULL ? &user : NULL, text);
}

/* ------------------------------------------------------------------------------------ token */

static void copy(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from);
}

static void on_nickname(void *arg, const char *nickname, const char *error)
{
    struct chat_attempt *attempt = arg;
    attempt->call = NULL;
    if (nickname != NULL) {
        copy(attempt->user.nickname, sizeof(attempt->user.nickname), nickname);
    }
    finish(attempt, error);
}

static void find_nickname(struct chat_attempt *attempt)
{
    struct chat_login *login = attempt->login;
    struct chat_user *user = &attempt->user;
    if (user->nickname[0] == '\0' && login->options.account_url[0] != '\0' &&
        !login->options.development) {
        struct chat_account_call *call =
            chat_account_nickname(login->account, user->id, attempt->token, on_nickname, attempt);
        if (call != NULL) {
            attempt->call = call;
        }
        return;
    }
    if (user->nickname[0] == '\0') {
        copy(user->nickname, sizeof(user->nickname), user->id);
    }
    finish(attempt, NULL);
}

static void take_claims(struct chat_attempt *attempt, const struct jwt_claims *claims)
{
    copy(attempt->user.id, sizeof(attempt->user.id), claims->subject);
    copy(attempt->user.nickname, sizeof(attempt->user.nickname), claims->nickname);
    attempt->user.expires_s = claims->expires_s;
    find_nickname(attempt);
}

static void check_token(struct chat_attempt *attempt);

static void on_newer_keys(struct chat_keys_wait *wait)
{
    check_token(CONTAINER_OF(wait, struct chat_attempt, wait));
}

/* The reason of one, and how many there were since the last line: a client that sends bad tokens as
 * fast as it can does not fill the log. */
static void log_refused(struct chat_login *login, const char *reason)
{
    uint64_t now = clock_monotonic_ms();
    login->refused++;
    if (login->refused_line_ms != 0 && now - login->refused_line_ms < REFUSED_LINE_MS) {
        return;
    }
    log_info("token refused", LOG_TEXT_FIELD("reason", reason),
             LOG_NUMBER_FIELD("tokens", login->refused));
    login->refused_line_ms = now;
    login->refused = 0;
}

static void fail_token(struct chat_attempt *attempt, enum jwt_result result, const char *why)
{
    struct chat_login *login = attempt->login;
    log_refused(login, why);
    if (result == JWT_UNREADABLE) {
        finish(attempt, "error parsing the access token");
    } else if (jwt_keys_count(chat_keys_now(login->keys)) == 0) {
        finish(attempt, login->options.jwks[0] != '\0'
                            ? "the keys of the login service cannot be fetched, please try again"
                            : "no login is set up on this server");
    } else {
        finish(attempt, "the access token is expired or invalid");
    }
}

/* A newer set might have the key: true when the attempt waits for that. */
static bool renew_keys(struct chat_attempt *attempt)
{
    if (attempt->renewed) {
        return false;
    }
    attempt->renewed = true;
    return chat_keys_renew(attempt->login->keys, &attempt->wait) == RENEWAL_LATER;
}

static void take_result(struct chat_attempt *attempt, const struct token_check *check)
{
    if (check->result == JWT_GOOD) {
        take_claims(attempt, &check->claims);
    } else if (check->result != JWT_UNKNOWN_KEY || !renew_keys(attempt)) {
        fail_token(attempt, check->result, check->why);
    }
}

static void check_free(struct token_check *check)
{
    jwt_keys_free(&check->keys);
    free(check->token);
    free(check);
}

/* In a thread of the pool. */
static void do_check(struct pool_job *job)
{
    struct token_check *check = CONTAINER_OF(job, struct token_check, job);
    check->result = jwt_check(check->keys, &check->rules, span_str(check->token),
                              (int64_t)(clock_unix_ms() / 1000), &check->claims, &check->why);
}

static void on_checked(struct pool_job *job, bool worked)
{
    struct token_check *check = CONTAINER_OF(job, struct token_check, job);
    struct chat_attempt *attempt = check->attempt;
    if (attempt != NULL) {
        attempt->check = NULL;
        if (worked) {
            take_result(attempt, check);
        } else {
            finish(attempt, "the server is going away");
        }
    }
    check_free(check);
}

static void check_token(struct chat_attempt *attempt)
{
    struct chat_login *login = attempt->login;
    if (!attempt->settled) {
        attempt->settled = true;
        if (chat_keys_settle(login->keys, &attempt->wait) == RENEWAL_LATER) {
            return;
        }
    }
    struct token_check *check = mem_zalloc(sizeof(*check));
    check->job = (struct pool_job){.work = do_check, .done = on_checked};
    check->keys = jwt_keys_ref(chat_keys_now(login->keys));
    check->rules = login->rules;
    check->token = mem_dup(span_str(attempt->token));
    if (pool_do(login->options.pool, &check->job) == 0) {
        check->attempt = attempt;
        attempt->check = check;
    } else {
        check_free(check);
        finish(attempt, "too many logins at once, please try again");
    }
}

/* ------------------------------------------------------------------------------ development */

static bool is_name(const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            return false;
        }
    }
    return len > 0 && len <= JWT_SUBJECT_LIMIT;
}

/* ------------------------------------------------------------------------------------ calls */

static struct chat_attempt *attempt_new(struct chat_login *login, chat_login_fn *fn, void *arg)
{
    struct chat_attempt *attempt = mem_zalloc(sizeof(*attempt));
    attempt->login = login;
    attempt->wait.fn = on_newer_keys;
    attempt->fn = fn;
    attempt->arg = arg;
    attempt->inside = true;
    list_init(&attempt->wait.entry);
    return attempt;
}

/* gcc -fanalyzer forgets over calls that `inside` is set, with which only leave() frees. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wanalyzer-use-after-free"
#endif

/* What the caller gets back. */
static struct chat_attempt *leave(struct chat_attempt *attempt)
{
    attempt->inside = false;
    if (attempt->over) {
        attempt_free(attempt);
        return NULL;
    }
    return attempt;
}

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

static void go_on(struct chat_attempt *attempt)
{
    if (attempt->login->options.development) {
        /* A token names its user, whatever key signed it; any other text is itself the name. */
        struct jwt_claims claims;
        if (jwt_peek(span_str(attempt->token), &attempt->login->rules, &claims)) {
            claims.expires_s = 0;
            take_claims(attempt, &claims);
        } else if (is_name(attempt->token)) {
            copy(attempt->user.id, sizeof(attempt->user.id), attempt->token);
            find_nickname(attempt);
        } else {
            finish(attempt, "error parsing the access token");
        }
    } else {
        check_token(attempt);
    }
}

struct chat_attempt *chat_login_token(struct chat_login *login, struct span token,
                                      chat_login_fn *fn, void *arg)
{
    struct chat_attempt *attempt = attempt_new(login, fn, arg);
    attempt->token = mem_dup(token);
    go_on(attempt);
    return leave(attempt);
}

static void on_token(void *arg, const char *token, const char *error)
{
    struct chat_attempt *attempt = arg;
    attempt->call = NULL;
    if (token == NULL) {
        finish(attempt, error);
    } else {
        attempt->token = mem_dup(span_str(token));
        go_on(attempt);
    }
}

struct chat_attempt *chat_login_password(struct chat_login *login, struct span name,
                                         struct span password, chat_login_fn *fn, void *arg)
{
    struct chat_attempt *attempt = attempt_new(login, fn, arg);
    if (login->options.login_url[0] == '\0') {
        finish(attempt, "login with a password is not set up on this server, use a token");
        return leave(attempt);
    }
    char *name_text = mem_dup(name), *password_text = mem_dup(password);
    struct chat_account_call *call =
        chat_account_login(login->account, name_text, password_text, on_token, attempt);
    free(name_text);
    free(password_text);
    if (call != NULL) {
        attempt->call = call;
    }
    return leave(attempt);
}

static struct chat_keys_options keys_options(const struct chat_login_options *options,
                                             struct fetcher *fetcher)
{
    return (struct chat_keys_options){
        .fetcher = fetcher,
        .key_file = options->key_file,
        .jwks = options->jwks,
        .secret = options->secret,
        .refresh_ms = options->jwks_refresh_ms,
        .pause_ms = options->jwks_pause_ms,
        .limit_ms = options->account_ms,
    };
}

/* Empty: off. */
static int check_url(const char *name, const char *url, char *error, size_t error_size)
{
    struct span rest = span_str(url), scheme = span_cut(&rest, ':');
    bool known = span_eq(scheme, SPAN("http")) || span_eq(scheme, SPAN("https"));
    if (url[0] == '\0' || (known && span_starts_with(rest, SPAN("//")) && rest.len > 2)) {
        return 0;
    }
    snprintf(error, error_size, "%s: '%.200s' is no http://host[:port][/path], nor https://", name,
             url);
    return -1;
}

int chat_login_check(const struct chat_login_options *options, char *error, size_t error_size)
{
    if (check_url("chat-account-url", options->account_url, error, error_size) != 0 ||
        check_url("chat-login-url", options->login_url, error, error_size) != 0) {
        return -1;
    }
    struct chat_keys_options keys = keys_options(options, NULL);
    return chat_keys_check(&keys, error, error_size);
}

struct chat_login *chat_login_new(const struct chat_login_options *options, char *error,
                                  size_t error_size)
{
    struct chat_login *login = mem_zalloc(sizeof(*login));
    login->options = *options;
    login->rules = (struct jwt_rules){.audience = options->audience,
                                      .issuer = options->issuer,
                                      .nickname = options->nickname_claim,
                                      .leeway_s = options->leeway_s};
    login->fetcher = fetch_pool_new(&(struct fetcher_options){
        .base = options->base, .parallel = options->account_parallel, .waiting = FETCHES_WAITING});
    struct chat_keys_options keys = keys_options(options, login->fetcher);
    login->keys = chat_keys_new(&keys, error, error_size);
    if (login->keys == NULL) {
        chat_login_free(&login);
        return NULL;
    }
    login->account =
        chat_account_new(&(struct chat_account_options){.fetcher = login->fetcher,
                                                        .url = options->account_url,
                                                        .login_url = options->login_url,
                                                        .limit_ms = options->account_ms,
                                                        .cache_ms = options->account_cache_ms});
    return login;
}

void chat_login_free(struct chat_login **login)
{
    if (*login == NULL) {
        return;
    }
    chat_account_free(&(*login)->account);
    chat_keys_free(&(*login)->keys);
    fetch_pool_free(&(*login)->fetcher);
    free(*login);
    *login = NULL;
}
