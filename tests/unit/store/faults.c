/* SPDX-License-Identifier: MIT */
#include "faults.h"

#include <stdio.h>

int faults_start(void **state)
{
    lab_redis(state);
    return lab_setup(state);
}

int faults_end(void **state)
{
    lab_teardown(state);
    redis_kill(other);
    other->port = 0;
    return lab_end(state);
}

void views_settle(struct watcher *w, int count)
{
    for (int i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof(name), "m%d", i);
        claim(i, "k", name, "v");
        watcher_start(&w[i], lab.nodes[i], "k");
    }
    for (int i = 0; i < count; i++) {
        WAIT((int)roster_count(w[i].watch) == count && w[i].currents > 0);
        watcher_mark(&w[i]);
    }
}

void views_never_flickered(struct watcher *w, int count)
{
    for (int i = 0; i < count; i++) {
        if (w[i].gones != 0 || w[i].sets != 0 || (int)w[i].least != count ||
            (int)w[i].most != count) {
            fail_msg("watcher %d: %s", i, watcher_log(&w[i]));
        }
    }
}

void views_stop(struct watcher *w, int count)
{
    for (int i = 0; i < count; i++) {
        watcher_stop(&w[i]);
    }
}

bool views_current(struct watcher *w, int count)
{
    for (int i = 0; i < count; i++) {
        if (w[i].currents == 0) {
            return false;
        }
    }
    return true;
}

bool views_stale(struct watcher *w, int count)
{
    for (int i = 0; i < count; i++) {
        if (w[i].stales == 0) {
            return false;
        }
    }
    return true;
}

bool nodes_ready(int count)
{
    for (int i = 0; i < count; i++) {
        if (!store_ready(lab.nodes[i])) {
            return false;
        }
    }
    return true;
}
