/* SPDX-License-Identifier: MIT */
/* roster call: what a backend is asked to do for the roster: a touch of a key, a beat of a node. */
#ifndef MUSTER_STORE_ROSTER_CALL_H
#define MUSTER_STORE_ROSTER_CALL_H

#include "store/base/span.h"

#include <stdbool.h>
#include <stdint.h>

struct roster_entry;

/* One atomic visit to a roster key: release, set, publish what changed. The answer is a
 * roster note (store/roster/note.h). */
struct roster_touch {
    struct span key;     /* where the members are, with prefix */
    struct span channel; /* where changes are published */
    uint64_t token;      /* of this node's lease: what is set lives by it */
    bool refresh;        /* the key's long life begins again */
    bool snapshot;       /* answer with all members */
    const struct roster_entry *entries;
    size_t count;
};

/* A node renews its lease on a server and hears which others live. The answer is read by
 * roster_lease_read (store/roster/lease.h). */
struct roster_beat {
    struct span node;
    uint64_t token, birth, version, floor; /* as the last answer said; see struct roster_lease */
    uint64_t ttl_us, beat_us;              /* a lease lives so long; a beat comes so often */
};

#endif
