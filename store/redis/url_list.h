/* SPDX-License-Identifier: MIT */
/* redis url list: what url.c and url_lists.c share: one list of servers. */
#ifndef MUSTER_STORE_REDIS_URL_LIST_H
#define MUSTER_STORE_REDIS_URL_LIST_H

#include "store/base/span.h"
#include "store/redis/url.h"

enum { REDIS_URL_SERVERS_MOST = 256 };

/* As redis_url_parse, of a list that stays. */
int redis_url_parse_list(struct span rest, struct redis_url *out, char *error, size_t error_size)
    __attribute__((warn_unused_result));

#endif
