/* SPDX-License-Identifier: MIT */
/* The store's URL: whatever it is, it is read or refused, and a refusal shows no password. */
#include "store/base/mem.h"
#include "store/redis/url.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct redis_url *url)
{
    for (size_t i = 0; i < url->count; i++) {
        const struct redis_server *server = &url->servers[i];
        bool login = server->login.user == NULL || server->login.pass != NULL;
        bool several = server->master != NULL || server->cluster;
        if (server->count == 0 || (server->count > 1 && !several) || !login) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct redis_url url;
    char error[256];
    char *text = mem_dup(span_of(data, size));
    if (redis_url_parse(text, &url, error, sizeof(error)) == 0) {
        check(&url);
        if (redis_url_take_logins(&url, text, error, sizeof(error)) != 0) {
            abort(); /* it names the same servers */
        }
        error[0] = '\0';
        if ((redis_url_take_logins(&url, "redis://elsewhere:9", error, sizeof(error)) != 0) ==
            (error[0] == '\0')) {
            abort(); /* others, mostly: then it says so */
        }
        if (redis_url_take_logins(&url, "x", error, sizeof(error)) == 0) {
            abort();
        }
        redis_url_free(&url);
    } else if (url.servers != NULL || url.count != 0) {
        abort();
    }
    free(text);
    return 0;
}
