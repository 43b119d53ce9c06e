/* redis url: redis://[user:pass@]host[:port][/db], several with commas (each a shard; the scheme
 * may be left out after the first). user and pass may hold percent-escapes (a comma, '@', ':' and
 * '/' in them must be escaped); an IPv6 address stands in brackets. */
#ifndef MUSTER_STORE_REDIS_URL_H
#define MUSTER_STORE_REDIS_URL_H

#include <stddef.h>
#include <stdint.h>

struct redis_server {
    char *host; /* address or name */
    uint16_t port;
    char *user; /* NULL: none */
    char *pass; /* NULL: none */
    unsigned db;
};

struct redis_url {
    struct redis_server *servers;
    size_t count;
};

/* Fills `out`, to be given to redis_url_free. Returns 0, or -1 with a message, which never shows a
 * password, in `error` (and nothing to free). */
int redis_url_parse(const char *text, struct redis_url *out, char *error, size_t error_size)
    __attribute__((warn_unused_result));

void redis_url_free(struct redis_url *url);

#endif
