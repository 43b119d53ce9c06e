/* SPDX-License-Identifier: MIT */
/* hour: a node's last hour, minute by minute, for a page that has just been opened. */
#ifndef MUSTER_NODE_SERVICE_FLEET_HOUR_H
#define MUSTER_NODE_SERVICE_FLEET_HOUR_H

#include "node/core/metrics.h"

#include <stddef.h>
#include <stdint.h>

enum { FLEET_HOUR_POINTS = 60, FLEET_HOUR_MS = 60 * 1000 };

/* All zero at the start. */
struct fleet_hour {
    uint32_t messages[FLEET_HOUR_POINTS]; /* WebSocket messages a second, times ten */
    uint32_t connections[FLEET_HOUR_POINTS];
    uint32_t memory[FLEET_HOUR_POINTS]; /* KiB */
    size_t next, count;
    uint64_t point_ms; /* monotonic, of the last point */
    uint64_t received; /* messages by then */
};

/* Takes a point when its minute is over. */
void fleet_hour_look(struct fleet_hour *hour, const struct metrics *metrics, uint64_t now_ms);

/* Appends {"every":60,"messages":[...],"connections":[...],"memory":[...]}, the oldest first: messages a
 * second, connections, bytes. */
void fleet_hour_print(const struct fleet_hour *hour, struct buf *out);

#endif
