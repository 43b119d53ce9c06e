/* SPDX-License-Identifier: MIT */
/* What the store needs of its stream; services include stream.h. */
#ifndef MUSTER_STORE_STREAM_IMPL_H
#define MUSTER_STORE_STREAM_IMPL_H

#include "store/shard_set.h"
#include "store/stream.h"

void stream_init(struct store *store);
void stream_deinit(struct store *store);

/* The backend is there: it knows where the parts are. */
void stream_find_homes(struct store *store);

/* Both links of the server of these shards went up or down. */
void stream_on_link(struct store *store, const struct shard_set *which, bool up);

/* As store_on_owner. */
void stream_on_owner(struct store *store);

/* Forgets the reads and questions that were not answered. */
void stream_questions_free(struct store *store);

#endif
