/* SPDX-License-Identifier: MIT */
#include "store/redis/url.h"

#include "store/base/mem.h"

#include <stdio.h>
#include <string.h>

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_server(const struct redis_server *a, const struct redis_server *b)
{
    bool same = a->count == b->count && same_text(a->master, b->master) && a->tls == b->tls &&
                a->db == b->db && a->cluster == b->cluster;
    for (size_t i = 0; i < a->count && same; i++) {
        same = a->at[i].port == b->at[i].port && same_text(a->at[i].host, b->at[i].host);
    }
    return same;
}

/* ------------------------------------------------------------------------------ a list that changes */

static struct redis_server *find_name(const struct redis_url *url, const char *name)
{
    for (size_t i = 0; i < url->count; i++) {
        if (strcmp(url->servers[i].name, name) == 0) {
            return &url->servers[i];
        }
    }
    return NULL;
}

static bool has_place(const struct redis_url *url, const struct redis_server *server)
{
    for (size_t i = 0; i < url->count; i++) {
        if (same_server(&url->servers[i], server)) {
            return true;
        }
    }
    return false;
}

/* The servers of both go into `old`. */
static const char *merge(struct redis_url *old, struct redis_url *new)
{
    for (size_t i = 0; i < old->count; i++) {
        old->servers[i].after = false;
    }
    for (size_t i = 0; i < new->count; i++) {
        struct redis_server *server = &new->servers[i], *known = find_name(old, server->name);
        if (known != NULL && !same_server(known, server)) {
            return "a server has the same name in both lists, and is reached in two ways";
        }
        if (known == NULL && has_place(old, server)) {
            return "a server is in both lists, and has another name in each";
        }
        if (known != NULL) {
            known->after = true;
        } else if (old->count == REDIS_URL_SERVERS_MOST) {
            return "too many servers";
        } else {
            old->servers = mem_realloc(old->servers, (old->count + 1) * sizeof(*old->servers));
            struct redis_server *place = &old->servers[old->count++];
            *place = *server;
            place->before = false;
            *server = (struct redis_server){0};
        }
    }
    old->named = true;
    return NULL;
}

static const char *join(struct redis_url *old, struct redis_url *new)
{
    if (old->servers[0].cluster || new->servers[0].cluster) {
        return "a cluster moves its slots by itself, and stands alone";
    }
    char *before = redis_url_list(old), *after = redis_url_list(new);
    const char *wrong =
        strcmp(before, after) == 0 ? "both lists have the same servers" : merge(old, new);
    old->before = before;
    old->after = after;
    return wrong;
}

int redis_url_parse(const char *text, struct redis_url *out, char *error, size_t error_size)
{
    struct span rest = span_str(text), first = span_cut(&rest, ';');
    struct redis_url after;
    const char *wrong = NULL;
    if (redis_url_parse_list(first, out, error, error_size) < 0) {
        return -1;
    }
    if (rest.ptr == NULL) {
        return 0;
    }
    if (memchr(rest.ptr, ';', rest.len) != NULL) {
        snprintf(error, error_size, "store URL: one list changes into one other: old;new");
        redis_url_free(out);
        return -1;
    }
    if (redis_url_parse_list(rest, &after, error, error_size) < 0) {
        redis_url_free(out);
        return -1;
    }
    wrong = join(out, &after);
    redis_url_free(&after);
    if (wrong != NULL) {
        snprintf(error, error_size, "store URL: %s", wrong);
        redis_url_free(out);
        return -1;
    }
    return 0;
}

static void swap_logins(struct redis_login *a, struct redis_login *b)
{
    struct redis_login kept = *a;
    *a = *b;
    *b = kept;
}

int redis_url_take_logins(struct redis_url *url, const char *text, char *error, size_t error_size)
{
    struct redis_url fresh;
    if (redis_url_parse(text, &fresh, error, error_size) < 0) {
        return -1;
    }
    bool same = fresh.count == url->count;
    for (size_t i = 0; i < url->count && same; i++) {
        same = same_server(&url->servers[i], &fresh.servers[i]);
    }
    for (size_t i = 0; i < url->count && same; i++) {
        swap_logins(&url->servers[i].login, &fresh.servers[i].login);
        swap_logins(&url->servers[i].sentinel_login, &fresh.servers[i].sentinel_login);
    }
    if (!same) {
        snprintf(error, error_size, "it names other servers");
    }
    redis_url_free(&fresh);
    return same ? 0 : -1;
}
