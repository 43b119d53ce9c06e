/* SPDX-License-Identifier: MIT */
/* sync: the words of the session sync protocol that the generator needs. */
#ifndef MUSTER_BENCH_LOAD_SYNC_H
#define MUSTER_BENCH_LOAD_SYNC_H

#include "tests/bench/load/client.h"

struct session_state {
    uint32_t players;
    bool leader;
};

/* Sends SetSession. */
void sync_join(struct client *client, const char *session, bool leader);

/* True and *state when `text` is a SessionState. */
bool sync_state(struct span text, struct session_state *state);

#endif
