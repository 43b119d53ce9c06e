/* SPDX-License-Identifier: MIT */
/* dialect: what is said to one kind of server, and how its answers are read: to enter a group, to
 * publish into it, to see what was published. Just enough for a bench of servers side by side. */
#ifndef MUSTER_BENCH_LOAD_DIALECT_H
#define MUSTER_BENCH_LOAD_DIALECT_H

#include "tests/bench/load/client.h"

/* Where a client stands. */
struct place {
    const char *group;
    uint32_t members; /* of the group, all counted */
    bool sender;      /* it publishes */
    bool counted;     /* it is a member of the group like the others */
    size_t data_size; /* of what is published */
};

struct news {
    enum { NEWS_NONE, NEWS_IN, NEWS_DATA } kind; /* something else; it is in; a publication */
    struct span data;                            /* borrowed from what was read */
};

struct dialect {
    const char *name;
    bool bytes;              /* plain TCP; else WebSocket */
    bool sender_is_spared;   /* a sender may be a member and does not hear itself */
    const char *path;        /* to be upgraded on; %s is the group */
    const char *sender_path; /* NULL: the same */
    /* Once the connection is open; true: that was all, it is in. */
    bool (*open)(struct client *client, const struct place *place);
    void (*publish)(struct client *client, const struct place *place, struct span data);
    /* Takes one thing of `in` (a frame's payload, or bytes): below 0 wrong, 0 more is needed, above 0
     * the bytes of it. */
    int64_t (*take)(struct client *client, const struct place *place, struct span in,
                    struct news *news);
};

/* Ends the program when there is none of that name. */
const struct dialect *dialect_find(const char *name);

/* What of a client is sent, printed. */
void dialect_say(struct client *client, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Sends `before`, `data` and `after` in one frame. */
void dialect_wrap(struct client *client, const char *before, struct span data, const char *after);

/* What stands behind `name` in `in`, so many bytes; empty when it is not there. */
struct span dialect_behind(struct span in, struct span name, size_t len);

extern const struct dialect dialect_mqtt, dialect_nats; /* files of their own */

#endif
