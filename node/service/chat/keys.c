/* SPDX-License-Identifier: MIT */
#include "node/service/chat/keys.h"

#include "node/core/log.h"
#include "store/base/buf.h"
#include "store/base/clock.h"
#include "store/base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { FILE_MOST = 1024 * 1024, CHAT_KEYS_SET_MOST = 256 * 1024 };

struct chat_keys {
    struct chat_keys_options options;
    struct jwt_keys *keys;
    struct fetch *fetch; /* NULL: none under way */
    struct list waiting;
    bool is_url, has_set;
    uint64_t asked_ms; /* the last fetch or read began; 0: none */
    uint64_t read_ms;  /* the set is of then */
};

/* Appends the file that `setting` names. 0, or -1 with a message that names both. */
static int read_file(const char *setting, const char *path, struct buf *out, char *error,
                     size_t error_size)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        snprintf(error, error_size, "%s: %s: %s", setting, path, strerror(errno));
        return -1;
    }
    char *room = buf_room(out, FILE_MOST);
    errno = 0;
    buf_grew(out, fread(room, 1, FILE_MOST, file));
    int failed = ferror(file) ? errno : 0; /* such as a directory's */
    fclose(file);
    if (failed != 0) {
        snprintf(error, error_size, "%s: %s: %s", setting, path, strerror(failed));
        return -1;
    }
    return 0;
}

/* Puts the names of the setting and the file before what is wrong with it. */
static int blame(const char *setting, const char *path, char *error, size_t error_size)
{
    char text[256];
    snprintf(text, sizeof(text), "%s", error);
    snprintf(error, error_size, "%s: %s: %s", setting, path, text);
    return -1;
}

static int add_pem(struct chat_keys *keys, char *error, size_t error_size)
{
    struct buf pem = {0};
    const char *path = keys->options.key_file;
    int result = read_file("chat-jwt-key", path, &pem, error, error_size);
    if (result == 0 && jwt_keys_add_pem(keys->keys, buf_span(&pem), error, error_size) != 0) {
        result = blame("chat-jwt-key", path, error, error_size);
    }
    buf_free(&pem);
    return result;
}

/* Others may check with the keys of before: a newer set makes new ones. 0, or -1 with a message. */
static int take_set(struct chat_keys *keys, struct span json, char *error, size_t error_size)
{
    struct jwt_keys *fresh = jwt_keys_copy(keys->keys);
    int result = jwt_keys_set_jwks(fresh, json, error, error_size);
    if (result == 0) {
        jwt_keys_free(&keys->keys);
        keys->keys = fresh;
    } else {
        jwt_keys_free(&fresh);
    }
    return result;
}

static int read_set(struct chat_keys *keys, char *error, size_t error_size)
{
    struct buf json = {0};
    const char *path = keys->options.jwks;
    keys->asked_ms = keys->read_ms = clock_monotonic_ms();
    int result = read_file("chat-jwks", path, &json, error, error_size);
    if (result == 0 && take_set(keys, buf_span(&json), error, error_size) != 0) {
        result = blame("chat-jwks", path, error, error_size);
    }
    buf_free(&json);
    return result;
}

static void on_set(void *arg, int status, struct span body, const char *text)
{
    struct chat_keys *keys = arg;
    char error[128] = "";
    keys->fetch = NULL;
    if (status == 200 && take_set(keys, body, error, sizeof(error)) == 0) {
        keys->read_ms = clock_monotonic_ms();
        log_info("login keys fetched", LOG_TEXT_FIELD("url", keys->options.jwks),
                 LOG_NUMBER_FIELD("keys", jwt_keys_count(keys->keys)));
    } else {
        log_warn("login keys cannot be fetched", LOG_TEXT_FIELD("url", keys->options.jwks),
                 LOG_NUMBER_FIELD("status", status),
                 LOG_TEXT_FIELD("error", error[0] != '\0' ? error : text));
    }
    struct list waiting;
    list_init(&waiting);
    list_splice(&waiting, &keys->waiting);
    while (!list_empty(&waiting)) {
        struct chat_keys_wait *wait = LIST_ITEM(waiting.next, struct chat_keys_wait, entry);
        list_del(&wait->entry);
        wait->fn(wait);
    }
}

static void start_fetch(struct chat_keys *keys)
{
    keys->asked_ms = clock_monotonic_ms();
    keys->fetch = fetch_start(keys->options.fetcher,
                              &(struct fetch_request){
                                  .url = keys->options.jwks,
                                  .limit_ms = keys->options.limit_ms,
                                  .body_limit = CHAT_KEYS_SET_MOST,
                              },
                              on_set, keys);
}

static bool paused(const struct chat_keys *keys)
{
    return keys->asked_ms != 0 && clock_monotonic_ms() - keys->asked_ms < keys->options.pause_ms;
}

enum chat_keys_renewal chat_keys_renew(struct chat_keys *keys, struct chat_keys_wait *wait)
{
    char error[256];
    if (!keys->has_set || (keys->fetch == NULL && paused(keys))) {
        return RENEWAL_NONE;
    }
    if (!keys->is_url) {
        if (read_set(keys, error, sizeof(error)) != 0) {
            log_warn("login keys cannot be read", LOG_TEXT_FIELD("error", error));
            return RENEWAL_NONE;
        }
        return RENEWAL_DONE;
    }
    if (keys->fetch == NULL) {
        start_fetch(keys);
    }
    if (keys->fetch == NULL) {
        return RENEWAL_NONE;
    }
    list_push_back(&keys->waiting, &wait->entry);
    return RENEWAL_LATER;
}

void chat_keys_unwait(struct chat_keys_wait *wait)
{
    list_del(&wait->entry);
}

struct jwt_keys *chat_keys_now(struct chat_keys *keys)
{
    bool old = clock_monotonic_ms() - keys->read_ms > keys->options.refresh_ms;
    if (keys->is_url && old && keys->fetch == NULL && !paused(keys)) {
        start_fetch(keys);
    }
    return keys->keys;
}

static bool is_url(const char *text)
{
    return strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0;
}

static int read_all(struct chat_keys *keys, char *error, size_t error_size)
{
    const struct chat_keys_options *options = &keys->options;
    size_t secret_len = strlen(options->secret);
    if (options->key_file[0] != '\0' && add_pem(keys, error, error_size) != 0) {
        return -1;
    }
    if (secret_len > 0 && jwt_keys_add_secret(keys->keys, span_of(options->secret, secret_len),
                                              error, error_size) != 0) {
        return -1;
    }
    if (secret_len > 0 && secret_len < JWT_SECRET_LEAST) {
        log_warn("the token secret is short: it can be found by trying",
                 LOG_NUMBER_FIELD("bytes", secret_len));
    }
    if (keys->has_set && !keys->is_url) {
        return read_set(keys, error, error_size);
    }
    return 0;
}

/* New, with what files hold, and nothing fetched. */
static struct chat_keys *keys_read(const struct chat_keys_options *options, char *error,
                                   size_t error_size)
{
    struct chat_keys *keys = mem_zalloc(sizeof(*keys));
    keys->options = *options;
    keys->keys = jwt_keys_new();
    keys->has_set = options->jwks[0] != '\0';
    keys->is_url = is_url(options->jwks);
    list_init(&keys->waiting);
    if (read_all(keys, error, error_size) != 0) {
        chat_keys_free(&keys);
    }
    return keys;
}

int chat_keys_check(const struct chat_keys_options *options, char *error, size_t error_size)
{
    struct chat_keys *keys = keys_read(options, error, error_size);
    int result = keys != NULL ? 0 : -1;
    chat_keys_free(&keys);
    return result;
}

struct chat_keys *chat_keys_new(const struct chat_keys_options *options, char *error,
                                size_t error_size)
{
    struct chat_keys *keys = keys_read(options, error, error_size);
    if (keys != NULL && keys->is_url) {
        start_fetch(keys);
    }
    return keys;
}

void chat_keys_free(struct chat_keys **keys)
{
    if (*keys == NULL) {
        return;
    }
    fetch_cancel(&(*keys)->fetch);
    jwt_keys_free(&(*keys)->keys);
    free(*keys);
    *keys = NULL;
}
