/* SPDX-License-Identifier: MIT */
#include "node/service/chat/keys.h"

#include "node/core/log.h"
#include "store/base/buf.h"
#include "store/base/clock.h"
#include "store/base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    FILE_MOST = 1024 * 1024,
    CHAT_KEYS_SET_MOST = 256 * 1024,
    CHAT_KEYS_LOOK_MS = 1000, /* between two looks at files */
};

struct chat_keys {
    struct chat_keys_options options;
    struct jwt_keys *keys;
    char *secret;        /* that `keys` has */
    uint64_t stamp;      /* of the files, as they were read */
    uint64_t look_ms;    /* the last look at them */
    struct fetch *fetch; /* NULL: none under way */
    struct list waiting;
    bool is_url, has_set;
    uint64_t asked_ms; /* the last fetch began; 0: none */
    uint64_t read_ms;  /* the set from the URL is of then; 0: there is none */
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

/* ------------------------------------------------------------------------------ what is here */

/* Adds what is in a file by `add`. 0, or -1 with a message that names both. */
static int add_file(struct jwt_keys *keys, const char *setting, const char *path,
                    int (*add)(struct jwt_keys *, struct span, char *, size_t), char *error,
                    size_t error_size)
{
    struct buf text = {0};
    int result = read_file(setting, path, &text, error, error_size);
    if (result == 0 && add(keys, buf_span(&text), error, error_size) != 0) {
        result = blame(setting, path, error, error_size);
    }
    buf_free(&text);
    return result;
}

/* Adds the keys of the files and the secret. 0, or -1 with a message. */
static int read_own(const struct chat_keys *keys, struct jwt_keys *to, char *error,
                    size_t error_size)
{
    const struct chat_keys_options *options = &keys->options;
    struct span secret = span_str(options->secret);
    if (secret.len > 0 && secret.len < JWT_SECRET_LEAST) {
        log_warn("the token secret is short: it can be found by trying",
                 LOG_NUMBER_FIELD("bytes", secret.len));
    }
    if (options->key_file[0] != '\0' &&
        add_file(to, "chat-jwt-key", options->key_file, jwt_keys_add_pem, error, error_size) != 0) {
        return -1;
    }
    if (secret.len > 0 && jwt_keys_add_secret(to, secret, error, error_size) != 0) {
        return -1;
    }
    return keys->has_set && !keys->is_url
               ? add_file(to, "chat-jwks", options->jwks, jwt_keys_set_jwks, error, error_size)
               : 0;
}

/* Another one when a file is. */
static uint64_t stamp_of(const struct chat_keys *keys)
{
    const char *const paths[] = {keys->options.key_file, keys->is_url ? "" : keys->options.jwks};
    uint64_t stamp = 0;
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
        struct stat is;
        if (paths[i][0] != '\0' && stat(paths[i], &is) == 0) {
            stamp = stamp * 31 + (uint64_t)is.st_ino;
            stamp = stamp * 31 + (uint64_t)is.st_size;
            stamp = stamp * 31 + (uint64_t)is.st_mtim.tv_sec;
            stamp = stamp * 31 + (uint64_t)is.st_mtim.tv_nsec;
        }
    }
    return stamp;
}

/* Reads files and secret; the set from a URL stays. Where something is wrong all stays. */
static int read_again(struct chat_keys *keys, char *error, size_t error_size)
{
    struct jwt_keys *fresh = jwt_keys_new();
    keys->stamp = stamp_of(keys);
    free(keys->secret);
    keys->secret = mem_dup(span_str(keys->options.secret));
    if (read_own(keys, fresh, error, error_size) != 0) {
        jwt_keys_free(&fresh);
        return -1;
    }
    if (keys->is_url) {
        jwt_keys_copy_set(fresh, keys->keys);
    }
    jwt_keys_free(&keys->keys);
    keys->keys = fresh;
    return 0;
}

static void look_again(struct chat_keys *keys)
{
    char error[512];
    uint64_t now = clock_monotonic_ms();
    bool secret_changed = strcmp(keys->secret, keys->options.secret) != 0;
    if (!secret_changed && now - keys->look_ms < CHAT_KEYS_LOOK_MS) {
        return;
    }
    keys->look_ms = now;
    if (!secret_changed && stamp_of(keys) == keys->stamp) {
        return;
    }
    if (read_again(keys, error, sizeof(error)) == 0) {
        log_info("login keys changed", LOG_NUMBER_FIELD("keys", jwt_keys_count(keys->keys)));
    } else {
        log_error("login keys cannot be read; those in force stay", LOG_TEXT_FIELD("error", error));
    }
}

/* ------------------------------------------------------------------------------ the set from a URL */

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

static enum chat_keys_renewal fetch_for(struct chat_keys *keys, struct chat_keys_wait *wait)
{
    if (keys->fetch == NULL && !paused(keys)) {
        start_fetch(keys);
    }
    if (keys->fetch == NULL) {
        return RENEWAL_NONE;
    }
    list_push_back(&keys->waiting, &wait->entry);
    return RENEWAL_LATER;
}

enum chat_keys_renewal chat_keys_settle(struct chat_keys *keys, struct chat_keys_wait *wait)
{
    bool young =
        keys->read_ms != 0 && clock_monotonic_ms() - keys->read_ms <= keys->options.refresh_ms;
    return !keys->is_url || young ? RENEWAL_NONE : fetch_for(keys, wait);
}

enum chat_keys_renewal chat_keys_renew(struct chat_keys *keys, struct chat_keys_wait *wait)
{
    return keys->is_url ? fetch_for(keys, wait) : RENEWAL_NONE;
}

void chat_keys_unwait(struct chat_keys_wait *wait)
{
    list_del(&wait->entry);
}

struct jwt_keys *chat_keys_now(struct chat_keys *keys)
{
    look_again(keys);
    return keys->keys;
}

static bool is_url(const char *text)
{
    return strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0;
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
    if (read_again(keys, error, error_size) != 0) {
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
    free((*keys)->secret);
    free(*keys);
    *keys = NULL;
}
