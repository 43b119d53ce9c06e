/* A store's URL is read or refused with a reason, and neither shows the password. */
#include "store/base/span.h"
#include "store/redis_url.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

/* What stands around the mark in front of each of them is the input's; the mark is what a password
 * must not leave in a message. */
static void try_password(const char *text)
{
    char url[512], error[512] = "";
    struct redis_url parsed;
    snprintf(url, sizeof url, "redis://:s3cr3t-mark@%.400s", text);
    if (redis_url_parse(url, &parsed, error, sizeof error) == 0) {
        redis_url_free(&parsed);
    }
    must(strstr(error, "s3cr3t") == NULL, "the password is in the message");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char error[512] = "";
    struct redis_url url;
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    if (redis_url_parse(text, &url, error, sizeof error) == 0) {
        must(url.count > 0 && url.servers != NULL, "a URL without a server");
        redis_url_free(&url);
    } else {
        must(error[0] != '\0', "no reason");
    }
    must(url.count == 0 && url.servers == NULL, "nothing is left");
    try_password(text);
    free(text);
    return 0;
}
