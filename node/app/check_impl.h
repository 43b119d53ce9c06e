/* SPDX-License-Identifier: MIT */
/* What check.c, check_redis.c and check_server.c share; no other file includes it. */
#ifndef MUSTER_NODE_APP_CHECK_IMPL_H
#define MUSTER_NODE_APP_CHECK_IMPL_H

#include "node/core/loop.h"
#include "node/core/settings.h"
#include "store/store.h"
#include "store/stream.h"

enum verdict { VERDICT_OK, VERDICT_WARN, VERDICT_ERROR };

struct check {
    const struct settings *settings;
    bool json;
    struct buf out;      /* with json: the list so far */
    bool faulty, unwell; /* of the settings; of what was asked */
    struct loop *loop;
    struct store *store;
    bool reached;
    struct event *patience; /* with the store */
    uint64_t begun_ms;      /* to ask it */
    char trouble[256];      /* the last thing the store said */
    char note[256];         /* what it said of a server that was reached; empty: nothing */
    char stream[STREAM_NAME], was[STREAM_NAME]; /* the log stream's identities; empty: not known */
};

/* One finding: a line, or an object of the list. */
void check_find(struct check *check, enum verdict verdict, const char *about, const char *format,
                ...) __attribute__((format(printf, 4, 5)));

/* Two clocks differ by so much: what that means. `whose` is the other one's. */
void check_clock(struct check *check, const char *about, const char *whose, int64_t ahead_us);

/* check_redis.c: what the servers of the store, which is ready, say of themselves. */
void check_redis(struct check *check);

/* check_server.c: what PostgreSQL says of itself. */
void check_postgres_server(struct check *check);

#endif
