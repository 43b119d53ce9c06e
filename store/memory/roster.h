/* SPDX-License-Identifier: MIT */
/* memory roster: what roster.lua and roster_beat.lua do, for the hub. The two are kept alike; the contract tests run
 * against both. */
#ifndef MUSTER_STORE_MEMORY_ROSTER_H
#define MUSTER_STORE_MEMORY_ROSTER_H

#include "store/backend.h"
#include "store/base/buf.h"
#include "store/base/map.h"

struct memory_rosters {
    struct map keys;
    uint64_t last_birth; /* no two keys are born in the same microsecond */
    struct map leases;   /* by node */
    uint64_t leases_version, last_token;
    int64_t beaten_us;
};

void memory_rosters_init(struct memory_rosters *rosters);
void memory_rosters_deinit(struct memory_rosters *rosters);

/* Carries out `touch`; appends the answer, and the note to publish when something changed. */
void memory_roster_touch(struct memory_rosters *rosters, const struct roster_touch *touch,
                         struct buf *answer, struct buf *change);

/* Carries out `beat`; appends the answer. */
void memory_roster_beat(struct memory_rosters *rosters, const struct roster_beat *beat,
                        struct buf *answer);

#endif
