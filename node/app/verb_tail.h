/* SPDX-License-Identifier: MIT */
/* What verb_tail.c (live lines) and verb_tail_stored.c (those in PostgreSQL) share. */
#ifndef MUSTER_NODE_APP_VERB_TAIL_H
#define MUSTER_NODE_APP_VERB_TAIL_H

#include "store/base/buf.h"

#include <event2/event.h>
#include <jansson.h>
#include <regex.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    VERB_TAIL_LINES = 10,     /* where nobody says since when */
    VERB_TAIL_SEEN = 1 << 14, /* more than come again after a lost link */
};

struct tailing {
    const char *http, *token, *postgres, *room, *level, *grep;
    int64_t since_ms;
    bool json, has_pattern, failed, was_open, is_down;
    int least; /* level */
    regex_t pattern;
    uint64_t from_ms; /* unix; older lines are left out */
    uint64_t last;    /* the greatest sequence number of a line */
    uint64_t seen[VERB_TAIL_SEEN];
    size_t next; /* of them */
    struct buf query;
    struct event_base *base;
};

/* Prints the entry, if it passes. */
void verb_tail_show(const struct tailing *tail, const json_t *entry);

/* Prints what PostgreSQL has, the oldest first, and returns what the process ends with. */
int verb_tail_stored(struct tailing *tail);

#endif
