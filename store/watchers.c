/* SPDX-License-Identifier: MIT */
#include "store/watchers.h"
#include "store/base/check.h"

void watchers_init(struct watchers *watchers, struct store *store, void (*run)(struct chore *chore))
{
    watchers->store = store;
    watchers->chore.run = run;
    list_init(&watchers->chore.entry);
    list_init(&watchers->list);
}

void watchers_deinit(struct watchers *watchers)
{
    LIST_EACH(it, &watchers->list) {
        free(LIST_ITEM(it, struct watcher, entry));
    }
    list_init(&watchers->list);
    list_del(&watchers->chore.entry);
}

void watchers_kick(struct watchers *watchers)
{
    store_kick(watchers->store, &watchers->chore);
}

void watchers_join(struct watchers *watchers, struct watcher *watcher)
{
    watcher->of = watchers;
    list_push_back(&watchers->list, &watcher->entry);
    watchers_kick(watchers);
}

void watchers_leave(struct watcher *watcher)
{
    CHECK(!watcher->left);
    watcher->left = true;
    watchers_kick(watcher->of);
}

void watchers_sweep(struct watchers *watchers)
{
    LIST_EACH(it, &watchers->list) {
        struct watcher *watcher = LIST_ITEM(it, struct watcher, entry);
        if (watcher->left) {
            list_del(&watcher->entry);
            free(watcher);
        }
    }
}
