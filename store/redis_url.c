#include "store/redis_url.h"

#include "store/base/mem.h"

#include <stdbool.h>
#include <stdio.h>

enum {
    DEFAULT_PORT = 6379,
    HOST_MOST = 255,
    DB_MOST = 9999,
    SHARDS_MOST = 256,
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

static bool number(struct span s, unsigned long most, unsigned long *out)
{
    *out = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9' || *out > most) {
            return false;
        }
        *out = *out * 10 + (unsigned long)(s.ptr[i] - '0');
    }
    return s.len > 0 && *out <= most;
}

/* Cuts "user:pass@" off *rest. Returns what is wrong, or NULL. */
static const char *parse_credentials(struct span *rest, struct redis_server *server)
{
    const char *at = memrchr(rest->ptr, '@', rest->len);
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
    server->pass = percent_decode(pass);
    server->user = user.len > 0 ? percent_decode(user) : NULL;
    if (server->pass == NULL || (user.len > 0 && server->user == NULL)) {
        return "a percent-escape in user or password is broken";
    }
    return NULL;
}

static bool host_is_sane(struct span host)
{
    for (size_t i = 0; i < host.len; i++) {
        unsigned char c = (unsigned char)host.ptr[i];
        if (c <= ' ' || c >= 0x7f || strchr("/?#[]@%\\\"<>", c) != NULL) {
            return false;
        }
    }
    return host.len > 0 && host.len <= HOST_MOST;
}

/* "host", "host:port", "[v6]" or "[v6]:port". */
static const char *parse_host(struct span rest, struct redis_server *server)
{
    struct span host;
    unsigned long port = DEFAULT_PORT;
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
    if (rest.ptr != NULL && (!number(rest, 65535, &port) || port == 0)) {
        return "the port must be a number from 1 to 65535";
    }
    server->host = mem_dup(host);
    server->port = (uint16_t)port;
    return NULL;
}

static const char *parse_server(struct span text, struct redis_server *server)
{
    struct span authority = span_cut(&text, '/');
    unsigned long db = 0;
    if (text.len > 0 && !number(text, DB_MOST, &db)) {
        return "the database after '/' must be a number";
    }
    server->db = (unsigned)db;
    const char *wrong = parse_credentials(&authority, server);
    return wrong != NULL ? wrong : parse_host(authority, server);
}

static const char *strip_scheme(struct span *text, bool first)
{
    static const char hint[] =
        "a store is \"memory:\" or \"redis://[user:pass@]host:port[/db]\", several with commas";
    if (span_starts_with(*text, SPAN("redis://"))) {
        *text = span_skip(*text, SPAN("redis://").len);
        return NULL;
    }
    if (span_starts_with(*text, SPAN("rediss://"))) {
        return "rediss:// (Redis over TLS) is not supported yet";
    }
    return first || memmem(text->ptr, text->len, "://", 3) != NULL ? hint : NULL;
}

void redis_url_free(struct redis_url *url)
{
    for (size_t i = 0; i < url->count; i++) {
        free(url->servers[i].host);
        free(url->servers[i].user);
        free(url->servers[i].pass);
    }
    free(url->servers);
    *url = (struct redis_url){0};
}

int redis_url_parse(const char *text, struct redis_url *out, char *error, size_t error_size)
{
    struct span rest = span_str(text);
    const char *wrong = NULL;
    *out = (struct redis_url){0};
    do {
        struct span one = span_cut(&rest, ',');
        if (out->count == SHARDS_MOST) {
            wrong = "too many servers";
            break;
        }
        out->servers = mem_realloc(out->servers, (out->count + 1) * sizeof(*out->servers));
        struct redis_server *server = &out->servers[out->count++];
        *server = (struct redis_server){0};
        wrong = one.len == 0 ? "a server is empty" : strip_scheme(&one, out->count == 1);
        if (wrong == NULL) {
            wrong = parse_server(one, server);
        }
    } while (wrong == NULL && rest.ptr != NULL);
    if (wrong != NULL) {
        snprintf(error, error_size, "store URL, server %zu: %s", out->count, wrong);
        redis_url_free(out);
        return -1;
    }
    return 0;
}
