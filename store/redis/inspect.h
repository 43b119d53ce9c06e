/* SPDX-License-Identifier: MIT */
/* redis inspect: INFO and TIME of a server. */
#ifndef MUSTER_STORE_REDIS_INSPECT_H
#define MUSTER_STORE_REDIS_INSPECT_H

#include "store/inspect.h"
#include "store/redis/link.h"

/* As backend_ops.inspect. */
int redis_inspect(struct redis_link *link, unsigned shard, const char *name, store_server_fn *fn,
                  void *arg);

#endif
