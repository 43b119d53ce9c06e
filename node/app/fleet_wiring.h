/* fleet wiring: what each service shows on the fleet's page; neither knows of the other. */
#ifndef MUSTER_NODE_APP_FLEET_WIRING_H
#define MUSTER_NODE_APP_FLEET_WIRING_H

#include "node/service/chat/chat.h"
#include "node/service/dispatch/dispatch.h"
#include "node/service/fleet/fleet.h"
#include "node/service/relay/relay.h"
#include "node/service/sync/sync.h"

/* All borrowed; NULL: off. */
struct fleet_wiring_parts {
    struct sync *sync;
    struct chat *chat;
    struct relay *relay;
    struct dispatch *dispatch;
};

/* Before the loop turns; the services must outlive its turning. */
void fleet_wiring_make(struct fleet *fleet, const struct fleet_wiring_parts *parts);

#endif
