/* SPDX-License-Identifier: MIT */
/* bus speakers: which nodes were heard on the bus, and over which of their links. A link that a
 * node has given up may still hold what it said: in a kernel that sends it again once the network
 * is back, or in a server that stood still. That is over, like all that a link took with it; heard
 * late, it would come after what the node has said since. */
#ifndef MUSTER_STORE_BUS_SPEAKER_H
#define MUSTER_STORE_BUS_SPEAKER_H

#include "store/base/map.h"
#include "store/base/span.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    SPEAKERS_KEPT = 64,                  /* at least, however long they say nothing */
    SPEAKER_AGE_US = 600 * 1000 * 1000U, /* of one that may be forgotten */
};

/* Does a message of `node`, said over its link number `link`, come after all that was heard of it?
 * `speakers` are those of one server. */
bool bus_speaker_goes_on(struct map *speakers, struct span node, uint64_t link, uint64_t now_us);

/* Is something missing between the last parcel of `node` (store/way.h) and this one, of the link that
 * bus_speaker_goes_on has just heard of? */
bool bus_speaker_missed(struct map *speakers, struct span node, uint64_t number);

/* This node's own link is another one: what was missed meanwhile was told. */
void bus_speakers_restart(struct map *speakers);

/* Forgets all. */
void bus_speakers_deinit(struct map *speakers);

#endif
