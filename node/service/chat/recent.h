/* SPDX-License-Identifier: MIT */
/* chat recent: the last messages, as this node heard them. A node that watches has them: who asks for the
 * history costs the store nothing, and the same answer is put together once.
 *
 *     watch --entries--> ring <--read once, and after a loss-- history */
#ifndef MUSTER_NODE_SERVICE_CHAT_RECENT_H
#define MUSTER_NODE_SERVICE_CHAT_RECENT_H

#include "node/fanout/group.h"
#include "store/history/history.h"

struct chat_recent;

/* New: the last `most` entries of `key`. All are borrowed for its life. */
struct chat_recent *chat_recent_new(struct store *store, struct span key, uint32_t most,
                                    size_t answer_limit);
void chat_recent_free(struct chat_recent **recent);

/* What the watch of that key says. */
void chat_recent_heard(struct chat_recent *recent, enum history_event event,
                       const struct history_entry *entry);

/* This node appends `value`; and what became of the appends, in their order. Until what was stored is heard
 * as well, it is not known here. */
void chat_recent_sent(struct chat_recent *recent, struct span value);
void chat_recent_stored(struct chat_recent *recent, bool done);

/* The answer {"history": [...]}, newest first, borrowed until the next turn; NULL while it is not known here,
 * and where more is asked for than is kept: then the store is to be asked. */
struct shared_message *chat_recent_answer(struct chat_recent *recent, uint32_t offset,
                                          uint32_t limit);

#endif
