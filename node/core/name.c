/* SPDX-License-Identifier: MIT */
#include "node/core/name.h"

#include "store/base/entropy.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NAME_HOST_MOST = 32, ROLE_MOST = NAME_DIGITS + sizeof("-w2147483647") };

void name_group_choose(char out[static NAME_DIGITS + 1])
{
    entropy_hex(out, NAME_DIGITS);
}

void name_choose(const char *role, char out[static NAME_SIZE])
{
    char host[NAME_HOST_MOST] = "node", digits[NAME_DIGITS + 1];
    gethostname(host, sizeof(host) - 1);
    entropy_hex(digits, NAME_DIGITS);
    for (char *c = host; *c != '\0'; c++) {
        *c = *c == ' ' ? '-' : *c;
    }
    snprintf(out, NAME_SIZE, "%s%s%s-%s", host, role[0] != '\0' ? "-" : "", role, digits);
}

void name_choose_node(const struct name_worker *worker, char out[static NAME_SIZE])
{
    char role[ROLE_MOST] = "";
    if (worker->number >= 0) {
        snprintf(role, sizeof(role), "%s-w%d", worker->group, worker->number);
    }
    name_choose(role, out);
}

/* Takes the last part behind a '-' off; the part, without it. */
static struct span cut_last(struct span *name)
{
    const char *dash = name->len > 0 ? memrchr(name->ptr, '-', name->len) : NULL;
    size_t before = dash != NULL ? (size_t)(dash - name->ptr) : name->len;
    struct span part = dash != NULL ? span_skip(*name, before + 1) : span_of(NULL, 0);
    name->len = before;
    return part;
}

static bool is_made_of(struct span text, int (*kind)(int))
{
    for (size_t i = 0; i < text.len; i++) {
        if (kind((unsigned char)text.ptr[i]) == 0) {
            return false;
        }
    }
    return text.len > 0;
}

static bool is_digits(struct span text)
{
    return text.len == NAME_DIGITS && is_made_of(text, isxdigit);
}

/* "host-group" of a worker's name; empty: it is none. */
static struct span place_of(struct span name)
{
    struct span digits = cut_last(&name), worker = cut_last(&name), place = name,
                group = cut_last(&name);
    bool is_worker =
        worker.len > 1 && worker.ptr[0] == 'w' && is_made_of(span_skip(worker, 1), isdigit);
    return is_digits(digits) && is_worker && is_digits(group) ? place : span_of(NULL, 0);
}

bool name_same_place(struct span one, struct span other)
{
    struct span place = place_of(one);
    return span_eq(one, other) || (place.len > 0 && span_eq(place, place_of(other)));
}
