/* SPDX-License-Identifier: MIT */
#include "store/sweep.h"

static void run(struct chore *chore)
{
    struct sweep *sweep = CONTAINER_OF(chore, struct sweep, chore);
    for (int left = SWEEP_STEPS; left > 0; left--) {
        sweep->cursor = map_scan(sweep->map, sweep->cursor, sweep->fn, sweep->store);
        sweep->store->stats.swept++;
        if (sweep->cursor == 0 && !sweep->again) {
            return;
        }
        sweep->again = sweep->again && sweep->cursor != 0;
    }
    store_kick(sweep->store, &sweep->chore); /* behind those that it found */
}

void sweep_init(struct sweep *sweep, struct store *store, const struct map *map, map_visit_fn *fn)
{
    *sweep = (struct sweep){.chore = {.run = run}, .store = store, .map = map, .fn = fn};
    list_init(&sweep->chore.entry);
}

void sweep_start(struct sweep *sweep)
{
    sweep->again = sweep->cursor != 0;
    store_kick(sweep->store, &sweep->chore);
}

void sweep_deinit(struct sweep *sweep)
{
    list_del(&sweep->chore.entry);
}
