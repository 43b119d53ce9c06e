/* SPDX-License-Identifier: MIT */
/* bench_jwt KEY.pem TOKEN SECONDS: how many times a second of CPU time the node's own check of an
 * access token, claims and all, can be done. Prints one line of JSON. */
#include "node/proto/jwt/jwt.h"
#include "store/base/buf.h"

#include <stdlib.h>
#include <time.h>

enum { PEM_MOST = 16 * 1024, BATCH = 100 };

static double cpu_seconds(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

static void die(const char *text)
{
    fprintf(stderr, "bench_jwt: %s\n", text);
    exit(1);
}

static struct jwt_keys *read_keys(const char *path)
{
    struct jwt_keys *keys = jwt_keys_new();
    char pem[PEM_MOST], error[256];
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        die("the key cannot be read");
    }
    size_t len = fread(pem, 1, sizeof(pem), file);
    fclose(file);
    if (jwt_keys_add_pem(keys, span_of(pem, len), error, sizeof(error)) != 0) {
        die(error);
    }
    return keys;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        die("usage: bench_jwt KEY.pem TOKEN SECONDS");
    }
    struct jwt_keys *keys = read_keys(argv[1]);
    const struct jwt_rules rules = {.audience = "heavenland-api", .leeway_s = 2};
    double begin = cpu_seconds(), end = begin + strtod(argv[3], NULL), now = begin;
    unsigned long checks = 0;
    while (now < end) {
        for (int i = 0; i < BATCH; i++) {
            struct jwt_claims claims;
            const char *why;
            if (jwt_check(keys, &rules, span_str(argv[2]), (int64_t)time(NULL), &claims, &why) !=
                JWT_GOOD) {
                die(why);
            }
        }
        checks += BATCH;
        now = cpu_seconds();
    }
    printf("{\"checks\":%lu,\"cpu_seconds\":%.6f}\n", checks, now - begin);
    jwt_keys_free(&keys);
    return 0;
}
