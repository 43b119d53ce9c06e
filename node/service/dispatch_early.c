/* Messages of nodes that cannot be spoken to yet. Where the store is several servers, what a node
 * says may come before the roster shows it, or before the way to it is open: it is heard then, in
 * the order in which it came. Who stays unknown is refused after a time; while there is no way to
 * tell him so either, his messages wait on. */
#include "node/core/log.h"
#include "node/service/dispatch_link_impl.h"
#include "store/base/clock.h"

#include <stdlib.h>

enum {
    EARLY_MS = 5 * 1000,     /* for the way to be open */
    EARLY_MOST = 1024 * KIB, /* bytes of all of them */
};

struct early {
    struct list link; /* of struct link, the oldest first */
    uint64_t since;   /* monotonic milliseconds */
    struct buf message;
};

static struct early *oldest(const struct link *link)
{
    return LIST_ITEM(link->early.next, struct early, link);
}

static void early_free(struct link *link, struct early *early)
{
    link->early_bytes -= early->message.len;
    list_del(&early->link);
    buf_free(&early->message);
    free(early);
}

static void on_early_over(struct wheel_timer *timer)
{
    struct link *link = CONTAINER_OF(timer, struct link, early_timer);
    uint64_t now = clock_monotonic_ms(), messages = 0, wait = EARLY_MS;
    LIST_EACH(it, &link->early) {
        struct early *early = LIST_ITEM(it, struct early, link);
        if (now - early->since < EARLY_MS) {
            wait = early->since + EARLY_MS - now;
            break;
        }
        int refused = legs_refuse(link, buf_span(&early->message));
        if (refused >= 0) {
            early_free(link, early);
        }
        messages += refused > 0;
    }
    if (messages > 0) {
        log_warn("nodes spoke that could not be answered", LOG_NUMBER_FIELD("messages", messages));
    }
    if (!list_empty(&link->early)) {
        wheel_set(net_wheel(link->dispatch->options.net), timer, wait);
    }
}

bool early_keep(struct link *link, struct buf *message)
{
    if (link->early_bytes + message->len > EARLY_MOST) {
        return false;
    }
    if (list_empty(&link->early)) {
        wheel_set(net_wheel(link->dispatch->options.net), &link->early_timer, EARLY_MS);
    }
    struct early *early = mem_zalloc(sizeof *early);
    early->since = clock_monotonic_ms();
    early->message = *message;
    *message = (struct buf){0};
    link->early_bytes += early->message.len;
    list_push_back(&link->early, &early->link);
    return true;
}

void early_hear(struct link *link)
{
    LIST_EACH(it, &link->early) {
        struct early *early = LIST_ITEM(it, struct early, link);
        if (legs_can_hear(link, buf_span(&early->message))) {
            legs_hear(link, buf_span(&early->message));
            early_free(link, early);
        }
    }
}

void early_drop(struct link *link)
{
    while (!list_empty(&link->early)) {
        early_free(link, oldest(link));
    }
    wheel_cancel(&link->early_timer);
}

void early_init(struct link *link)
{
    list_init(&link->early);
    wheel_timer_init(&link->early_timer, on_early_over);
}
