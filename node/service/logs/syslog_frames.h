/* SPDX-License-Identifier: MIT */
/* logs frames: where messages end in a TCP sender's bytes (RFC 6587): behind as many bytes as a count
 * before it says, or with the line. Without I/O: what came and is no whole message stays with the
 * caller. */
#ifndef MUSTER_NODE_SERVICE_LOGS_SYSLOG_FRAMES_H
#define MUSTER_NODE_SERVICE_LOGS_SYSLOG_FRAMES_H

#include "store/base/span.h"

#include <stdbool.h>
#include <stddef.h>

/* All zero at the start, but for `most`. */
struct logs_frames {
    size_t most;      /* bytes of a message; a larger one is skipped, and counted */
    size_t looked;    /* bytes at the front of what came in which no line ends */
    size_t skip;      /* bytes of a counted message that is too large, still to come */
    bool skip_line;   /* the same for a line */
    size_t too_large; /* so many were skipped; the caller may set it to 0 */
};

/* Cuts the next message off *rest, which begins where the last call left it. false: none is whole. An
 * empty message is one that was skipped. */
bool logs_frames_take(struct logs_frames *frames, struct span *rest, struct span *message)
    __attribute__((warn_unused_result));

/* Do a sender's first bytes begin an HTTP request? Then it is a browser, which another site's page can have
 * send a request to any port, with lines of its choice behind the head. 1; below 0: no; 0: it is not known yet, and
 * no message is whole. `most` is that of struct logs_frames. */
int logs_frames_are_http(struct span bytes, size_t most) __attribute__((warn_unused_result));

/* The sender has gone: is `rest`, in which no message is whole, a line that its going ends? */
bool logs_frames_is_last_line(const struct logs_frames *frames, struct span rest);

#endif
