/* SPDX-License-Identifier: MIT */
#include "store/redis/greeting.h"

#include "store/base/resp.h"
#include "store/redis/scripts.h"

static bool starts(const char *text, const char *word)
{
    return strncmp(text, word, strlen(word)) == 0;
}

bool redis_error_is_fence(const char *text)
{
    return starts(text, "HELD ") || starts(text, "GONE ");
}

bool redis_error_is_fatal(const char *text)
{
    static const char *const words[] = {"READONLY",    "LOADING",   "MASTERDOWN",
                                        "NOAUTH",      "WRONGPASS", "MISCONF",
                                        "CLUSTERDOWN", "MOVED",     "NOREPLICAS"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        /* Before Redis 7 a script's error wraps it: "ERR Error running script ...: -READONLY" */
        const char *inside = starts(text, "ERR") ? strstr(text, words[i]) : NULL;
        if (starts(text, words[i]) || (inside != NULL && inside[-1] == '-')) {
            return true;
        }
    }
    return false;
}

bool redis_greeting_refused(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR && !starts(reply->str, "NOPERM") &&
           strstr(reply->str, "unknown") == NULL;
}

static void send_words(struct redis_conn *conn, const char *const *words, size_t count,
                       redis_reply_fn *fn, void *arg)
{
    struct buf out = {0};
    resp_command(&out, count);
    for (size_t i = 0; i < count; i++) {
        resp_word(&out, span_str(words[i]));
    }
    redis_conn_send(conn, buf_span(&out), fn, arg);
    buf_free(&out);
}

void redis_greeting_login(struct redis_conn *conn, const struct redis_login *login,
                          redis_reply_fn *fn, void *arg)
{
    if (login->user != NULL) {
        const char *auth[] = {"AUTH", login->user, login->pass};
        send_words(conn, auth, 3, fn, arg);
    } else if (login->pass != NULL) {
        const char *auth[] = {"AUTH", login->pass};
        send_words(conn, auth, 2, fn, arg);
    }
}

void redis_greeting_send(struct redis_conn *conn, const struct redis_server *server,
                         const char *name, redis_reply_fn *fn, void *arg)
{
    const char *set_name[] = {"CLIENT", "SETNAME", name};
    redis_greeting_login(conn, &server->login, fn, arg);
    if (server->db != 0) {
        char db[16];
        const char *choose[] = {"SELECT", db};
        snprintf(db, sizeof(db), "%u", server->db);
        send_words(conn, choose, 2, fn, arg);
    }
    send_words(conn, set_name, 3, fn, arg);
}

void redis_greeting_load(struct redis_conn *conn, bool fenced, redis_reply_fn *fn, void *arg)
{
    static const struct redis_lua *const used[] = {&lua_lookup, &lua_roster, &lua_roster_beat,
                                                   &lua_history, &lua_roll};
    for (size_t i = 0; i < sizeof(used) / sizeof(used[0]); i++) {
        bool behind = fenced && used[i]->fenced != NULL;
        const char *load[] = {"SCRIPT", "LOAD", behind ? used[i]->fenced : used[i]->text};
        send_words(conn, load, 3, fn, arg);
    }
}
