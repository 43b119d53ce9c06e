/* Messages of nodes that cannot be spoken to yet. Where the store is several servers, what a node
 * says may come before the roster shows it, or before the way to it is open: it is heard then, in
 * the order in which it came. Who stays unknown is refused after a time; while there is no way to
 * tell him so either, his messages wait on. */
#include "node/core/log.h"
#include "node/service/dispatch/device/device.h"
#include "node/service/dispatch/mesh/node.h"
#include "node/service/dispatch/port/count.h"
#include "node/service/dispatch/port/port.h"
#include "node/service/dispatch/port/udp.h"
#include "store/base/clock.h"

#include <stdlib.h>

enum {
    EARLY_MS = 5 * 1000,     /* for the way to be open */
    EARLY_MOST = 1024 * KIB, /* bytes of all of them */
};

struct early {
    struct list entry; /* of struct mesh, the oldest first */
    uint64_t since;    /* monotonic milliseconds */
    struct buf message;
};

static struct early *oldest(const struct mesh *mesh)
{
    return LIST_ITEM(mesh->early.next, struct early, entry);
}

static void early_free(struct mesh *mesh, struct early *early)
{
    mesh->early_bytes -= early->message.len;
    list_del(&early->entry);
    buf_free(&early->message);
    free(early);
}

static void on_early_over(struct wheel_timer *timer)
{
    struct mesh *mesh = CONTAINER_OF(timer, struct mesh, early_timer);
    uint64_t now = clock_monotonic_ms(), messages = 0, wait = EARLY_MS;
    LIST_EACH(it, &mesh->early) {
        struct early *early = LIST_ITEM(it, struct early, entry);
        if (now - early->since < EARLY_MS) {
            wait = early->since + EARLY_MS - now;
            break;
        }
        int refused = dispatch_legs_refuse(mesh, buf_span(&early->message));
        if (refused >= 0) {
            early_free(mesh, early);
        }
        messages += refused > 0;
    }
    if (messages > 0) {
        log_warn("nodes spoke that could not be answered", LOG_NUMBER_FIELD("messages", messages));
    }
    if (!list_empty(&mesh->early)) {
        wheel_set(net_wheel(mesh->dispatch->options.net), timer, wait);
    }
}

bool dispatch_early_keep(struct mesh *mesh, struct buf *message)
{
    if (mesh->early_bytes + message->len > EARLY_MOST) {
        return false;
    }
    if (list_empty(&mesh->early)) {
        wheel_set(net_wheel(mesh->dispatch->options.net), &mesh->early_timer, EARLY_MS);
    }
    struct early *early = mem_zalloc(sizeof(*early));
    early->since = clock_monotonic_ms();
    early->message = *message;
    *message = (struct buf){0};
    mesh->early_bytes += early->message.len;
    list_push_back(&mesh->early, &early->entry);
    return true;
}

void dispatch_early_hear(struct mesh *mesh)
{
    LIST_EACH(it, &mesh->early) {
        struct early *early = LIST_ITEM(it, struct early, entry);
        if (dispatch_legs_can_hear(mesh, buf_span(&early->message))) {
            dispatch_legs_hear(mesh, buf_span(&early->message));
            early_free(mesh, early);
        }
    }
}

void dispatch_early_drop(struct mesh *mesh)
{
    while (!list_empty(&mesh->early)) {
        early_free(mesh, oldest(mesh));
    }
    wheel_cancel(&mesh->early_timer);
}

void dispatch_early_init(struct mesh *mesh)
{
    list_init(&mesh->early);
    wheel_timer_init(&mesh->early_timer, on_early_over);
}
