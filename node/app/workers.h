/* SPDX-License-Identifier: MIT */
/* workers: a big machine served by several processes. Each worker is a node with its own name; they
 * share the listening ports (SO_REUSEPORT: the kernel gives each new connection to one of them, and
 * all datagrams of a peer to the same one) and meet at the store like nodes on different machines.
 * The parent serves no clients: it starts the workers, starts dead ones again, kills those that stand
 * still, and passes on signals. Nobody outlives it for longer than the drain. */
#ifndef MUSTER_NODE_APP_WORKERS_H
#define MUSTER_NODE_APP_WORKERS_H

#include "node/core/name.h"
#include "node/core/settings.h"

#include <stddef.h>

/* How many the settings ask for; `auto` are the cores that this process may run on. */
unsigned workers_wanted(const struct settings *settings);

/* Can that many workers serve with these settings? 0, or -1 with a message in `error`. */
int workers_check(const struct settings *settings, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* Serves as that worker, whose settings are its own. The exit status; 1 only when it could not
 * start. */
typedef int workers_fn(struct settings *settings, const struct name_worker *worker);

/* Runs the workers until SIGTERM or SIGINT came and they have ended. The exit status: 0 when all
 * ended in order. */
int workers_run(const struct settings *settings, workers_fn *serve);

#endif
