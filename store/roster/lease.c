/* SPDX-License-Identifier: MIT */
#include "store/roster/lease.h"

#include "store/base/decimal.h"
#include "store/base/mem.h"
#include "store/wire.h"

struct lease_head {
    uint64_t birth, version, last, token, listed;
};

static int read_head(struct span *rest, struct lease_head *head)
{
    return wire_cut(rest, wire_own()) && decimal_cut(rest, ' ', &head->birth) &&
                   decimal_cut(rest, ' ', &head->version) && decimal_cut(rest, ' ', &head->last) &&
                   decimal_cut(rest, ' ', &head->token) && decimal_cut(rest, '\n', &head->listed) &&
                   head->token > 0
               ? 0
               : -1;
}

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/* New, growing; NULL when `rest` is no list. */
static uint64_t *read_tokens(struct span rest, size_t *count)
{
    size_t most = 0;
    for (size_t i = 0; i < rest.len; i++) {
        most += rest.ptr[i] == '\n';
    }
    uint64_t *tokens = mem_alloc((most + 1) * sizeof(*tokens));
    *count = 0;
    while (rest.len > 0) {
        if (!decimal_cut(&rest, '\n', &tokens[*count])) {
            free(tokens);
            return NULL;
        }
        ++*count;
    }
    qsort(tokens, *count, sizeof(*tokens), compare);
    return tokens;
}

int roster_lease_read(struct roster_lease *lease, struct span answer,
                      struct roster_lease_news *news)
{
    struct lease_head head;
    size_t count = 0;
    if (read_head(&answer, &head) < 0) {
        return -1;
    }
    uint64_t *live = read_tokens(answer, &count);
    if (live == NULL) {
        return -1;
    }
    *news = (struct roster_lease_news){
        .renamed = head.token != lease->token,
        .reborn = lease->birth != 0 && head.birth != lease->birth,
        .listed = head.listed != 0,
    };
    if (news->listed) {
        free(lease->live);
        lease->live = live;
        lease->count = count;
    } else {
        free(live);
    }
    lease->token = head.token;
    lease->birth = head.birth;
    lease->version = head.version;
    lease->last = head.last;
    roster_lease_saw(lease, head.last);
    return 0;
}

bool roster_lease_is_over(const struct roster_lease *lease, uint64_t token)
{
    return token != 0 && token <= lease->last && lease->count > 0 && !lease->grace &&
           bsearch(&token, lease->live, lease->count, sizeof(token), compare) == NULL;
}

void roster_lease_deinit(struct roster_lease *lease)
{
    free(lease->live);
    *lease = (struct roster_lease){0};
}
