/* SPDX-License-Identifier: MIT */
/* redis redirect: what a server of a cluster answers where it does not carry a command out: another
 * one has the slot, or it can be tried later
 * (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#redirection-and-resharding). */
#ifndef MUSTER_STORE_REDIS_REDIRECT_H
#define MUSTER_STORE_REDIS_REDIRECT_H

#include "store/base/span.h"

#include <stdint.h>

enum redirect_kind {
    REDIRECT_NONE,     /* another error */
    REDIRECT_MOVED,    /* the slot is that server's */
    REDIRECT_ASK,      /* the key has left already: that server has it, after ASKING */
    REDIRECT_AGAIN,    /* a slot is on its way: soon */
    REDIRECT_UNSERVED, /* no server has the slot */
};

struct redis_redirect {
    enum redirect_kind kind;
    unsigned slot;
    struct span host; /* MOVED, ASK; borrowed; empty: the server that says so */
    uint16_t port;
};

/* Reads an error's text. */
struct redis_redirect redis_redirect_read(const char *error);

#endif
