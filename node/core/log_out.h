/* SPDX-License-Identifier: MIT */
/* log out: the way of log lines to stderr, on which nothing of a server may wait.
 *
 *     line --> stderr takes it: written, in one write
 *          \-> it does not: kept, up to LOG_OUT_MOST bytes, until the reader has caught up
 *                   \-> no room: dropped and counted, with all until nothing is kept
 *
 * stderr is shared: with the process that started this one, with other workers, and O_NONBLOCK
 * would be theirs, too. So a pipe or a terminal is opened a second time, through /proc, as a
 * description of our own; a socket is told with each send. Where that open is refused, poll() is
 * asked before each write: what a pipe has no room for is then found out in time, but for the
 * moment in which another process takes the room away. A file does not block. */
#ifndef MUSTER_NODE_CORE_LOG_OUT_H
#define MUSTER_NODE_CORE_LOG_OUT_H

#include "store/base/span.h"

#include <stdint.h>

struct event_base;

enum {
    LOG_OUT_MOST = 256 * 1024, /* bytes kept */
    LOG_LINGER_MS = 500,       /* for a process that ends: time to write them */
};

/* Looks at what stderr is. Before this is called, writes to it are plain ones and may block. */
void log_out_open(void);

/* A child of fork writes only what it says itself, and counts what it dropped itself. */
void log_out_forget(void);

/* Writes or keeps one line with its end. Returns false when it was dropped. */
bool log_out_put(struct span line);

/* Nothing waits. */
bool log_out_is_clear(void);

/* Lines dropped so far. */
uint64_t log_out_dropped(void);

/* From now on what is kept is also written when the loop finds that stderr takes more; without a
 * loop, before the next line only. */
void log_out_attach(struct event_base *base);

/* Before the loop goes: what is kept gets `ms` more, and is then dropped. */
void log_out_detach(uint32_t ms);

#endif
