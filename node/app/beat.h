/* SPDX-License-Identifier: MIT */
/* beat: how the workers' parent knows that their loops turn: a page that all of them see, in which
 * each worker counts its seconds. */
#ifndef MUSTER_NODE_APP_BEAT_H
#define MUSTER_NODE_APP_BEAT_H

#include <event2/event.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct beat {
    _Atomic uint32_t count; /* grows each second while the worker's loop turns */
    _Atomic pid_t pid;      /* 0: the worker does not run */
    _Atomic bool ready;     /* it serves */
};

/* New, in memory that processes forked from here share; NULL with errno when there is none. It goes
 * with the processes. */
struct beat *beat_page_new(unsigned workers);

/* This process is the worker whose beat that is. */
void beat_choose(struct beat *own);

/* Begins to count, where a beat was chosen, and to tell what `ready` says: new, or NULL. */
struct event *beat_start(struct event_base *base, bool (*ready)(void *arg), void *arg);

/* Ends *event and nulls it; NULL inside is fine. */
void beat_stop(struct event **event);

#endif
