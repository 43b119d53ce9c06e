/* SPDX-License-Identifier: MIT */
#include "node/service/minigame/players.h"

#include "store/base/clock.h"

enum {
    TAKEN_AT_ONCE = 256 /* players; what comes behind the part that has the last of these waits */
};

static bool take(void *arg, struct span user)
{
    struct minigame_walk *walk = arg;
    walk->taken++;
    walk->enough = !walk->take(walk->arg, user);
    return !walk->enough;
}

static bool end(struct minigame_walk *walk, bool known)
{
    walk->on = false;
    walk->done(walk->arg, known);
    return false;
}

/* One part. False: that was the last. */
static bool step(struct net_work *work)
{
    struct minigame_walk *walk = CONTAINER_OF(work, struct minigame_walk, work);
    uint64_t begin_us = clock_monotonic_us();
    bool known = walk->online->each(walk->online->arg, walk->part, take, walk);
    walk->us += clock_monotonic_us() - begin_us;
    walk->part++;
    return known && !walk->enough && walk->part < walk->online->parts ? true : end(walk, known);
}

void minigame_walk_init(struct minigame_walk *walk)
{
    net_work_init(&walk->work, step);
}

bool minigame_walk_is_on(const struct minigame_walk *walk)
{
    return walk->on;
}

void minigame_walk_begin(struct minigame_walk *walk)
{
    if (walk->on) {
        return;
    }
    walk->on = true;
    walk->enough = false;
    walk->part = walk->taken = 0;
    walk->us = 0;
    while (walk->taken < TAKEN_AT_ONCE) {
        if (!step(&walk->work)) {
            return;
        }
    }
    net_work_queue(walk->net, &walk->work);
}

void minigame_walk_end(struct minigame_walk *walk)
{
    walk->on = false;
    net_work_cancel(&walk->work);
}
