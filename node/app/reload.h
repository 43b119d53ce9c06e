/* SPDX-License-Identifier: MIT */
/* reload: settings, secrets and keys are read again: on SIGHUP, and by themselves when a file that
 * settings came from is another one, which is looked at each second. What changed is logged, and
 * what of it needs a restart. SIGUSR1 and SIGUSR2 are logged and do nothing. */
#ifndef MUSTER_NODE_APP_RELOAD_H
#define MUSTER_NODE_APP_RELOAD_H

#include "node/core/settings.h"

#include "store/store.h"

#include <event2/event.h>

struct reload;

/* New. All is borrowed: `settings`, which are changed, and the store, which gets its logins (NULL:
 * none). `usr2`: SIGUSR2 means nothing, and is logged; else it is not looked at. */
struct reload *reload_new(struct event_base *base, struct settings *settings, struct store *store,
                          bool usr2);
void reload_free(struct reload **reload);

#endif
