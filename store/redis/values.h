/* SPDX-License-Identifier: MIT */
/* redis values: the verbs of lookup.h as commands of a Redis server, one each. */
#ifndef MUSTER_STORE_REDIS_VALUES_H
#define MUSTER_STORE_REDIS_VALUES_H

#include "store/lookup_call.h"
#include "store/redis/route.h"

/* Sends `visit`; its answer finishes `call`. 0, or -1 when it was not sent (and `call` stays the
 * caller's). */
int redis_values_send(const struct redis_route *route, const struct lookup_visit *visit,
                      struct lookup_call *call) __attribute__((warn_unused_result));

#endif
