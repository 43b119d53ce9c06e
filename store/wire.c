/* SPDX-License-Identifier: MIT */
#include "store/wire.h"

#include "store/backend.h"
#include "store/base/clock.h"
#include "store/store_impl.h"

enum { UNREAD_PAUSE_MS = 10 * 1000 };

unsigned wire_now(const struct store *store)
{
    unsigned now = store->wire.to;
    for (unsigned i = 0; store->shards != NULL && i < store->backend->shards; i++) {
        unsigned shared = store->shards[i].wire_shared;
        now = shared != 0 && shared < now ? shared : now;
    }
    return now > store->wire.from ? now : store->wire.from;
}

void wire_on_unread(struct store *store, enum wire_unread kind, const char *text)
{
    uint64_t now = clock_monotonic_ms();
    store->stats.unread[kind]++;
    if (store->unread_told_ms == 0 || now - store->unread_told_ms >= UNREAD_PAUSE_MS) {
        store->unread_told_ms = now;
        store_on_trouble(store, text);
    }
}
