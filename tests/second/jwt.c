/* SPDX-License-Identifier: MIT */
/* second_jwt KEY.pem AUDIENCE ISSUER: is each case (cases.h) a good token of that key? A line for each:
 *
 *     good SUBJECT NICKNAME           in hexadecimal digits
 *     bad WHY */
#include "node/proto/jwt/jwt.h"
#include "tests/second/cases.h"

#include <stdlib.h>
#include <time.h>

static struct jwt_keys *read_keys(const char *path)
{
    char pem[16 * 1024], error[256] = "it cannot be read";
    struct jwt_keys *keys = jwt_keys_new();
    FILE *file = fopen(path, "re");
    size_t len = file != NULL ? fread(pem, 1, sizeof(pem), file) : 0;
    if (len == 0 || jwt_keys_add_pem(keys, span_of(pem, len), error, sizeof(error)) != 0) {
        fprintf(stderr, "second_jwt: %s: %s\n", path, error);
        exit(1);
    }
    fclose(file);
    return keys;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: second_jwt KEY.pem AUDIENCE ISSUER\n");
        return 2;
    }
    struct jwt_keys *keys = read_keys(argv[1]);
    const struct jwt_rules rules = {.audience = argv[2], .issuer = argv[3], .nickname = "nick"};
    struct buf token = {0};
    while (case_next(&token)) {
        struct jwt_claims claims;
        const char *why = "";
        if (jwt_check(keys, &rules, buf_span(&token), (int64_t)time(NULL), &claims, &why) ==
            JWT_GOOD) {
            printf("good");
            case_print_hex(span_str(claims.subject));
            case_print_hex(span_str(claims.nickname));
            putchar('\n');
        } else {
            printf("bad %s\n", why);
        }
    }
    buf_free(&token);
    jwt_keys_free(&keys);
    return 0;
}
