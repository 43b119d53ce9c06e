/* SPDX-License-Identifier: MIT */
/* What an operator's services say: the account service, and the one that has the keys of tokens. They may lie.
 * The first byte chooses what is asked ('n': a nickname, 'l': a login, 'k': keys); each line behind it is an
 * answer, a digit (0: there was none) and its body. Each question ends in one answer, in words that may be shown. */
#include "node/service/chat/account.h"
#include "node/service/chat/keys.h"
#include "store/base/buf.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WORDS_MOST = 299, URL_MOST = 4096 };

/* In place of the one of node/proto/http/fetch.c: the input has the answers. */
struct fetch {
    fetch_fn *fn;
    void *arg;
};

static struct fetch asked;
static unsigned answers;

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

struct fetch *fetch_start(struct fetcher *fetcher, const struct fetch_request *request,
                          fetch_fn *fn, void *arg)
{
    (void)fetcher;
    must(asked.fn == NULL && strlen(request->url) < URL_MOST, "one question at a time");
    must(request->json.ptr == NULL || request->json.ptr[0] == '{', "an object is sent");
    asked = (struct fetch){fn, arg};
    return &asked;
}

void fetch_cancel(struct fetch **fetch)
{
    if (*fetch != NULL) {
        asked.fn = NULL;
        *fetch = NULL;
    }
}

void fetch_escape(struct span text, struct buf *out)
{
    buf_append(out, text);
}

struct fetcher *fetch_pool_new(const struct fetcher_options *options)
{
    (void)options;
    return NULL;
}

void fetch_pool_free(struct fetcher **fetcher)
{
    *fetcher = NULL;
}

static bool answer(struct span *rest)
{
    fetch_fn *fn = asked.fn;
    if (fn == NULL || rest->len == 0) {
        return false;
    }
    struct span line = span_cut(rest, '\n');
    int digit = line.len > 0 && line.ptr[0] >= '0' && line.ptr[0] <= '9' ? line.ptr[0] - '0' : 2;
    char *body = malloc(line.len > 0 ? line.len : 1); /* exactly as long: overruns show */
    size_t len = line.len > 0 ? line.len - 1 : 0;
    memcpy(body, line.ptr + (line.len - len), len);
    asked.fn = NULL;
    fn(asked.arg, digit * 100, span_of(digit != 0 ? body : NULL, digit != 0 ? len : 0),
       digit != 0 ? "" : "nobody answers");
    free(body);
    return true;
}

static void on_done(void *arg, const char *text, const char *error)
{
    struct chat_account_call **call = arg;
    must((text != NULL) != (error != NULL), "one of the two");
    must(text == NULL || text[0] != '\0', "not empty");
    must(error == NULL || (error[0] != '\0' && strlen(error) <= WORDS_MOST), "words");
    *call = NULL;
    answers++;
}

static void ask_account(struct span rest, bool login)
{
    const struct chat_account_options options = {
        .url = "http://a", .login_url = "http://l", .cache_ms = 1000};
    struct chat_account *account = chat_account_new(&options);
    for (int i = 0; i < 3; i++) { /* the second one may know the answer */
        struct chat_account_call *call = NULL, *made;
        answers = 0;
        made = login ? chat_account_login(account, "name", "pass", on_done, &call)
                     : chat_account_nickname(account, i < 2 ? "user" : "other", "token", on_done,
                                             &call);
        call = answers == 0 ? made : NULL;
        must((made == NULL) == (answers == 1), "a call, or its answer");
        while (call != NULL && answer(&rest)) {
        }
        must((call == NULL) == (answers == 1), "answered once");
        chat_account_cancel(&call);
        must(asked.fn == NULL, "nothing is asked any more");
    }
    chat_account_free(&account);
}

static void on_newer(struct chat_keys_wait *wait)
{
    (void)wait;
    answers++;
}

static void ask_keys(struct span rest)
{
    const struct chat_keys_options options = {
        .key_file = "", .jwks = "http://k", .secret = "", .refresh_ms = 1000};
    char error[256];
    struct chat_keys *keys = chat_keys_new(&options, error, sizeof(error));
    must(keys != NULL, "there are no files");
    for (int i = 0; i < 3; i++) {
        struct chat_keys_wait wait = {.fn = on_newer};
        answers = 0;
        list_init(&wait.entry);
        bool waits = (i % 2 == 0 ? chat_keys_renew(keys, &wait) : chat_keys_settle(keys, &wait)) ==
                     RENEWAL_LATER;
        bool came = answer(&rest);
        must(answers == (waits && came), "who waits is told once");
        chat_keys_unwait(&wait);
        must(chat_keys_now(keys) != NULL, "the keys of before stay");
    }
    chat_keys_free(&keys);
    must(asked.fn == NULL, "nothing is asked any more");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct span rest = span_of(data + 1, size - 1);
    if (data[0] == 'k') {
        ask_keys(rest);
    } else {
        ask_account(rest, data[0] == 'l');
    }
    return 0;
}
