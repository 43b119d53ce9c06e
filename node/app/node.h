/* SPDX-License-Identifier: MIT */
/* The verbs of the program. */
#ifndef MUSTER_NODE_APP_NODE_H
#define MUSTER_NODE_APP_NODE_H

#include "node/core/name.h"
#include "node/core/settings.h"

/* Serves until SIGTERM or SIGINT, as that worker of several that share the ports, or alone. The exit
 * status; 1 when it could not start. */
int node_run(struct settings *settings, const struct name_worker *worker);

/* `muster sink`: moves log entries into PostgreSQL until SIGTERM or SIGINT. The exit status. */
int sink_verb(struct settings *settings);

/* `muster migrate`: brings the database to the schema of this build. The exit status. */
int migrate_verb(const struct settings *settings);

/* `muster check`: would a node start with these settings, can what it needs be reached? Prints what
 * it finds, with `json` as one object; the exit status is 0 when all is well, 2 when the settings are
 * wrong, else 1. */
int check_run(const struct settings *settings, bool json);

#endif
