/* SPDX-License-Identifier: MIT */
#include "node/service/logs/depth.h"

#include "store/base/entropy.h"
#include "store/base/mem.h"
#include "store/stream.h"

#include <stdlib.h>

enum {
    FIRST_MS = 500,
    EVERY_MS = 5000, /* and up to as much more: the nodes of a fleet do not ask all at once */
};

struct logs_depth {
    struct wheel *wheel;
    struct store *store;
    struct metrics *metrics;
    struct wheel_timer timer;
};

static void on_depth(void *arg, const struct stream_depth *now)
{
    struct logs_depth *depth = arg;
    if (now != NULL) { /* else what was known stands until the store is back */
        metrics_set(depth->metrics, METRIC_LOGS_STREAM, now->entries);
        metrics_set(depth->metrics, METRIC_LOGS_UNSTORED, now->unstored);
    }
}

static void on_timer(struct wheel_timer *timer)
{
    struct logs_depth *depth = CONTAINER_OF(timer, struct logs_depth, timer);
    bool asked = stream_depth(depth->store, on_depth, depth) == 0;
    wheel_set(depth->wheel, timer, asked ? EVERY_MS + entropy_below(EVERY_MS) : FIRST_MS);
}

struct logs_depth *logs_depth_new(struct wheel *wheel, struct store *store, struct metrics *metrics)
{
    struct logs_depth *depth = mem_zalloc(sizeof(*depth));
    depth->wheel = wheel;
    depth->store = store;
    depth->metrics = metrics;
    wheel_timer_init(&depth->timer, on_timer);
    wheel_set(wheel, &depth->timer, FIRST_MS);
    return depth;
}

void logs_depth_free(struct logs_depth **depth)
{
    if (*depth != NULL) {
        wheel_cancel(&(*depth)->timer);
        free(*depth);
        *depth = NULL;
    }
}
