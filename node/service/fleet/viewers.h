/* SPDX-License-Identifier: MIT */
/* fleet viewers: the open pages. Each is shown the view first, whole, and what changes from there on. */
#ifndef MUSTER_NODE_SERVICE_FLEET_VIEWERS_H
#define MUSTER_NODE_SERVICE_FLEET_VIEWERS_H

#include "node/fanout/group.h"

#include <stdbool.h>

struct fleet_viewer {
    struct receiver member;
    void *owner; /* of all viewers, borrowed */
    bool shown;  /* has the view, and follows it */
};

/* Sends `view` to the viewers that do not have it yet. */
void fleet_viewers_show_view(struct group *viewers, struct span view);

/* Sends `text` to the viewers that have the view. */
void fleet_viewers_send(struct group *viewers, struct span text);

/* Sends `text` to those that do not have it yet. */
void fleet_viewers_send_new(struct group *viewers, struct span text);

/* The same as fleet_viewers_send, with {"what": json}. */
void fleet_viewers_show(struct group *viewers, const char *what, struct span json);

#endif
