/* SPDX-License-Identifier: MIT */
#include "store/redis/url_list.h"

#include "store/base/buf.h"
#include "store/base/decimal.h"
#include "store/base/mem.h"

#include <stdio.h>

enum {
    DEFAULT_PORT = 6379,
    SENTINEL_PORT = 26379,
    SENTINELS_MOST = 16,
    MEMBERS_MOST = 32,
    REDIS_URL_HOST_MOST = 255,
    DB_MOST = 9999,
};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* New string, or NULL when an escape is broken or stands for NUL. */
static char *percent_decode(struct span s)
{
    char *out = mem_alloc(s.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '%') {
            int high = i + 2 < s.len ? hex_digit(s.ptr[i + 1]) : -1;
            int low = i + 2 < s.len ? hex_digit(s.ptr[i + 2]) : -1;
            if (high < 0 || low < 0 || high + low == 0) {
                free(out);
                return NULL;
            }
            c = (char)(high << 4 | low);
            i += 2;
        }
        out[len++] = c;
    }
    out[len] = '\0';
    return out;
}

static const char *decode(struct span text, char **out)
{
    free(*out);
    *out = percent_decode(text);
    return *out != NULL ? NULL : "a percent-escape in user or password is broken";
}

/* Cuts "user:pass@" off *rest. Returns what is wrong, or NULL. */
static const char *parse_credentials(struct span *rest, struct redis_login *login)
{
    const char *at = rest->len > 0 ? memrchr(rest->ptr, '@', rest->len) : NULL;
    if (at == NULL) {
        return NULL;
    }
    struct span pass = span_of(rest->ptr, (size_t)(at - rest->ptr));
    *rest = span_skip(*rest, pass.len + 1);
    if (memchr(pass.ptr, '@', pass.len) != NULL) {
        return "an '@' in user or password must be written %40";
    }
    struct span user = span_cut(&pass, ':');
    if (pass.len == 0) {
        return "credentials are written user:password@ or :password@";
    }
    const char *wrong = decode(pass, &login->pass);
    return wrong == NULL && user.len > 0 ? decode(user, &login->user) : wrong;
}

static bool host_is_sane(struct span host)
{
    for (size_t i = 0; i < host.len; i++) {
        unsigned char c = (unsigned char)host.ptr[i];
        if (c <= ' ' || c >= 0x7f || strchr("/?#[]@%\\\"<>", c) != NULL) {
            return false;
        }
    }
    return host.len > 0 && host.len <= REDIS_URL_HOST_MOST;
}

/* "host", "host:port", "[v6]" or "[v6]:port". */
static const char *parse_host(struct span rest, uint64_t port, struct redis_server *server)
{
    struct span host;
    if (rest.len > 0 && rest.ptr[0] == '[') {
        rest = span_skip(rest, 1);
        host = span_cut(&rest, ']');
        if (rest.ptr == NULL) {
            return "a '[' has no ']'";
        }
        if (rest.len > 0 && rest.ptr[0] != ':') {
            return "after ']' only a port may follow";
        }
        rest = rest.len > 0 ? span_skip(rest, 1) : span_of(NULL, 0);
    } else {
        host = span_cut(&rest, ':');
    }
    if (!host_is_sane(host)) {
        return "the host is missing or malformed";
    }
    if (rest.ptr != NULL && (!decimal_read(rest, UINT16_MAX, &port) || port == 0)) {
        return "the port must be a number from 1 to 65535";
    }
    server->at = mem_realloc(server->at, (server->count + 1) * sizeof(*server->at));
    server->at[server->count++] = (struct redis_endpoint){mem_dup(host), (uint16_t)port};
    return NULL;
}

static const char *parse_db(struct span text, struct redis_server *server)
{
    uint64_t db;
    if (!decimal_read(text, DB_MOST, &db)) {
        return "the database must be a number";
    }
    server->db = (unsigned)db;
    return NULL;
}

static const char *parse_option(struct span text, struct redis_server *server)
{
    struct span name = span_cut(&text, '=');
    if (span_eq(name, SPAN("db"))) {
        return parse_db(text, server);
    }
    if (span_eq(name, SPAN("sentinel-user")) && text.len > 0) {
        return decode(text, &server->sentinel_login.user);
    }
    if (span_eq(name, SPAN("sentinel-pass")) && text.len > 0) {
        return decode(text, &server->sentinel_login.pass);
    }
    return "the options after '?' are db=, sentinel-user= and sentinel-pass=";
}

/* "name" or "name?option&option" */
static const char *parse_master(struct span text, struct redis_server *server)
{
    struct span name = span_cut(&text, '?');
    const char *wrong = NULL;
    if (!host_is_sane(name)) {
        return "the name of the master is malformed";
    }
    server->master = mem_dup(name);
    while (wrong == NULL && text.ptr != NULL) {
        wrong = parse_option(span_cut(&text, '&'), server);
    }
    return wrong == NULL && server->sentinel_login.user != NULL &&
                   server->sentinel_login.pass == NULL
               ? "sentinel-user needs sentinel-pass"
               : wrong;
}

static const char *parse_server(struct span text, struct redis_server *server)
{
    struct span authority = span_cut(&text, '/');
    const char *wrong = parse_credentials(&authority, &server->login);
    if (wrong == NULL) {
        wrong = parse_host(authority, DEFAULT_PORT, server);
    }
    return wrong == NULL && text.len > 0 ? parse_db(text, server) : wrong;
}

/* One of the sentinels; behind the last one the master is named. */
static const char *parse_sentinel(struct span text, struct redis_server *server)
{
    struct span authority = span_cut(&text, '/');
    const char *wrong = server->count == 0 ? parse_credentials(&authority, &server->login) : NULL;
    if (wrong == NULL && server->count == SENTINELS_MOST) {
        wrong = "too many sentinels";
    }
    if (wrong == NULL) {
        wrong = parse_host(authority, SENTINEL_PORT, server);
    }
    return wrong == NULL && text.ptr != NULL ? parse_master(text, server) : wrong;
}

/* One of the servers by which a cluster is found. */
static const char *parse_member(struct span text, struct redis_server *server)
{
    struct span authority = span_cut(&text, '/');
    const char *wrong = server->count == 0 ? parse_credentials(&authority, &server->login) : NULL;
    if (wrong == NULL && text.ptr != NULL && text.len > 0) {
        return "a cluster has no databases: nothing may stand behind '/'";
    }
    if (wrong == NULL && authority.len > 0 && memchr(authority.ptr, '@', authority.len) != NULL) {
        return "user and password are those of all servers, and stand before the first one";
    }
    if (wrong == NULL && server->count == MEMBERS_MOST) {
        return "too many servers: some of a cluster are enough";
    }
    return wrong == NULL ? parse_host(authority, DEFAULT_PORT, server) : wrong;
}

struct scheme {
    struct span text;
    bool tls, sentinel, cluster;
};

static const struct scheme schemes[] = {
    {SPAN("redis://"), false, false, false},
    {SPAN("rediss://"), true, false, false},
    {SPAN("redis+sentinel://"), false, true, false},
    {SPAN("rediss+sentinel://"), true, true, false},
    {SPAN("redis+cluster://"), false, false, true},
    {SPAN("rediss+cluster://"), true, false, true},
};

/* Cuts the scheme off *text; NULL when there is none that is known. */
static const struct scheme *cut_scheme(struct span *text)
{
    for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++) {
        if (span_starts_with(*text, schemes[i].text)) {
            *text = span_skip(*text, schemes[i].text.len);
            return &schemes[i];
        }
    }
    return NULL;
}

static const char *parse_name(struct span text, struct redis_server *server)
{
    if (text.ptr == NULL) {
        return NULL;
    }
    if (server->name != NULL || !host_is_sane(text)) {
        return "behind '#' a name of the server is missing or malformed";
    }
    server->name = mem_dup(text);
    return NULL;
}

static struct redis_server *add_server(struct redis_url *url, const struct scheme *scheme)
{
    url->servers = mem_realloc(url->servers, (url->count + 1) * sizeof(*url->servers));
    struct redis_server *server = &url->servers[url->count++];
    *server = (struct redis_server){
        .tls = scheme != NULL && scheme->tls,
        .cluster = scheme != NULL && scheme->cluster,
    };
    return server;
}

/* What stands between two commas: a server, or one more sentinel of the last one. `*scheme` is the
 * one that counts here. */
static const char *parse_one(struct span whole, struct redis_url *url, const struct scheme **scheme)
{
    struct span text = span_cut(&whole, '#');
    const struct scheme *own = cut_scheme(&text);
    if (url->count > 0 && url->servers[0].cluster) {
        return own != NULL || whole.ptr != NULL ? "a cluster stands alone, without names behind '#'"
                                                : parse_member(text, &url->servers[0]);
    }
    if (own != NULL && own->cluster && (url->count > 0 || whole.ptr != NULL)) {
        return "a cluster stands alone, without names behind '#'";
    }
    bool open = *scheme != NULL && (*scheme)->sentinel && url->count > 0 &&
                url->servers[url->count - 1].master == NULL;
    if (open && own == NULL) {
        struct redis_server *last = &url->servers[url->count - 1];
        const char *wrong = parse_sentinel(text, last);
        return wrong != NULL ? wrong : parse_name(whole, last);
    }
    if (open || url->count == REDIS_URL_SERVERS_MOST) {
        return open ? "behind the last sentinel the master is named: .../name" : "too many servers";
    }
    bool inherits = own == NULL && *scheme != NULL && !(*scheme)->sentinel;
    *scheme = inherits ? *scheme : own;
    struct redis_server *server = add_server(url, *scheme);
    if (text.len == 0 && own == NULL) {
        return "a server is empty";
    }
    if (*scheme == NULL || (own == NULL && memmem(text.ptr, text.len, "://", 3) != NULL)) {
        return "a store is \"memory:\" or \"redis://[user:pass@]host:port[/db]\", rediss:// for "
               "TLS, redis+sentinel://host:port,host:port/name, several with commas; "
               "or redis+cluster://host:port,host:port";
    }
    if ((*scheme)->cluster) {
        return parse_member(text, server);
    }
    const char *wrong =
        (*scheme)->sentinel ? parse_sentinel(text, server) : parse_server(text, server);
    return wrong != NULL ? wrong : parse_name(whole, server);
}

/* ------------------------------------------------------------------------------------ names */

static void name_by_place(struct redis_server *server)
{
    struct buf name = {0};
    if (server->name != NULL) {
        return;
    }
    if (server->cluster) {
        buf_append(&name, SPAN("cluster"));
    } else if (server->master != NULL) {
        buf_printf(&name, "%s", server->master);
    } else {
        buf_printf(&name, "%s:%u", server->at[0].host, server->at[0].port);
    }
    if (server->db != 0) {
        buf_printf(&name, "/%u", server->db);
    }
    server->name = mem_dup(buf_span(&name));
    buf_free(&name);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* New array of the names, borrowed, in order. */
static char **sorted_names(const struct redis_url *url)
{
    char **names = mem_alloc(url->count * sizeof(*names));
    for (size_t i = 0; i < url->count; i++) {
        names[i] = url->servers[i].name;
    }
    qsort(names, url->count, sizeof(*names), compare_names);
    return names;
}

static const char *give_names(struct redis_url *url)
{
    const char *wrong = NULL;
    url->named = url->count > 1 || url->servers[0].name != NULL;
    for (size_t i = 0; i < url->count; i++) {
        name_by_place(&url->servers[i]);
    }
    char **names = sorted_names(url);
    for (size_t i = 1; i < url->count; i++) {
        if (strcmp(names[i - 1], names[i]) == 0) {
            wrong = "two servers have the same name: put another one, #name, behind each";
        }
    }
    free(names);
    return wrong;
}

char *redis_url_list(const struct redis_url *url)
{
    struct buf list = {0};
    if (url->before != NULL) {
        buf_printf(&list, "%s;%s", url->before, url->after);
        char *both = mem_dup(buf_span(&list));
        buf_free(&list);
        return both;
    }
    char **names = sorted_names(url);
    for (size_t i = 0; i < url->count; i++) {
        buf_printf(&list, "%s%s", i > 0 ? "," : "", names[i]);
    }
    char *text = mem_dup(url->named ? buf_span(&list) : SPAN("one server"));
    buf_free(&list);
    free(names);
    return text;
}

static void free_server(struct redis_server *server)
{
    for (size_t i = 0; i < server->count; i++) {
        free(server->at[i].host);
    }
    free(server->at);
    free(server->name);
    free(server->master);
    free(server->login.user);
    free(server->login.pass);
    free(server->sentinel_login.user);
    free(server->sentinel_login.pass);
}

void redis_url_free(struct redis_url *url)
{
    for (size_t i = 0; i < url->count; i++) {
        free_server(&url->servers[i]);
    }
    free(url->servers);
    free(url->before);
    free(url->after);
    *url = (struct redis_url){0};
}

static void put_all(struct redis_url *url)
{
    for (size_t i = 0; i < url->count; i++) {
        url->servers[i].before = url->servers[i].after = true;
    }
}

int redis_url_parse_list(struct span rest, struct redis_url *out, char *error, size_t error_size)
{
    const struct scheme *scheme = NULL;
    const char *wrong = NULL;
    *out = (struct redis_url){0};
    do {
        wrong = parse_one(span_cut(&rest, ','), out, &scheme);
    } while (wrong == NULL && rest.ptr != NULL);
    if (wrong == NULL && scheme->sentinel && out->servers[out->count - 1].master == NULL) {
        wrong = "behind the last sentinel the master is named: .../name";
    }
    wrong = wrong == NULL ? give_names(out) : wrong;
    if (wrong != NULL) {
        snprintf(error, error_size, "store URL, server %zu: %s", out->count, wrong);
        redis_url_free(out);
        return -1;
    }
    put_all(out);
    return 0;
}
