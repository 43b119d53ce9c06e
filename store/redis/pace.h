/* SPDX-License-Identifier: MIT */
/* redis pace: how often a link speaks and how long it waits, as parts of the store's lease: so that a
 * loss is found, and the link back, before members run out. */
#ifndef MUSTER_STORE_REDIS_PACE_H
#define MUSTER_STORE_REDIS_PACE_H

#include "store/base/backoff.h"
#include "store/redis/url.h"

struct store;

/* From one beat to the next, in milliseconds. */
uint64_t redis_pace_beat_ms(const struct store *store);

/* Microseconds after a beat: when the next one comes later, this process stood still. */
uint64_t redis_pace_late_us(const struct store *store);

/* Microseconds after which an answer, or a proof, is late. */
uint64_t redis_pace_proof_us(const struct store *store);

/* Milliseconds for a try to connect to `server`. A fail-over is over for all nodes at nearly the same
 * time, or members of the last ones run out: so a try that began too early, at a master that does not
 * answer any more, must not hold a node up. */
uint64_t redis_pace_connect_ms(const struct store *store, const struct redis_server *server);

/* Between tries: back within a third of the lease, so that no node's members run out meanwhile. */
struct backoff redis_pace_backoff(const struct store *store, const struct redis_server *server);

#endif
