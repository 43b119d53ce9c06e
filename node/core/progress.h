/* SPDX-License-Identifier: MIT */
/* progress: on a terminal, one line on stderr that is written over while something lasts; elsewhere
 * nothing, so that what is kept of stderr has no control characters in it. */
#ifndef MUSTER_NODE_CORE_PROGRESS_H
#define MUSTER_NODE_CORE_PROGRESS_H

#include <stdbool.h>

struct progress {
    bool live;  /* stderr is a terminal that can clear a line */
    bool shown; /* the line is not empty */
};

/* `wanted` false: not live in any case. */
void progress_init(struct progress *progress, bool wanted);

/* Puts `text`, as much of it as the terminal is wide, in place of what is shown. */
void progress_show(struct progress *progress, const char *text);

/* Clears the line; before anything else is written to stderr, and at the end. */
void progress_clear(struct progress *progress);

#endif
