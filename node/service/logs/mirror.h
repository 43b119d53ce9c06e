/* SPDX-License-Identifier: MIT */
/* logs mirror: listens at another server's /logs/listen and adds what it hears to this fleet's stream, so
 * that both are seen in one viewer and stored in one table while senders move. Nothing waits for it
 * beyond a bound: with the stream full or away it stops reading, and the other server waits or skips. */
#ifndef MUSTER_NODE_SERVICE_LOGS_MIRROR_H
#define MUSTER_NODE_SERVICE_LOGS_MIRROR_H

#include "store/store.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

struct logs_mirror;

struct logs_mirror_options {
    struct event_base *base;           /* all borrowed */
    struct store *store;               /* whose stream is set up */
    const char *url;                   /* ws[s]://host[:port]/logs/listen[?roomId=...] */
    const char *ca;                    /* see logs_dump_options */
    const char *token;                 /* bearer; empty: none */
    const char *room_keys, *user_keys; /* see logs_keys */
    unsigned lanes;
    size_t entry_limit; /* bytes of an entry */
};

/* New, or NULL with a message in `error`. */
struct logs_mirror *logs_mirror_new(const struct logs_mirror_options *options, char *error,
                                    size_t error_size) __attribute__((warn_unused_result));

/* What it has not stored is lost here; the other server has it still. NULL inside is fine. */
void logs_mirror_free(struct logs_mirror **mirror);

#endif
