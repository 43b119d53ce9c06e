/* SPDX-License-Identifier: MIT */
/* pair: a master and its replica with a sentinel, for each test alone, and the ways in which the replica takes
 * over: by order or because the master is gone, with all that the master had or without the last of it. */
#ifndef MUSTER_TESTS_PAIR_H
#define MUSTER_TESTS_PAIR_H

#include "lab.h"

enum { LAG_MS = 700 };

enum fail_over { PLANNED, FORCED, LAGGING_PLANNED, LAGGING_FORCED };

static struct redis_server_process *const master = &lab.servers[0];
static struct redis_server_process *const replica = &lab.servers[1];

int pair_start(void **state);
int pair_start_with_replicas(void **state); /* which stores wait for */
int pair_end(void **state);

#define PAIR_TEST(function) cmocka_unit_test_setup_teardown(function, pair_start, pair_end)
#define REPLICA_TEST(function)                                                                     \
    cmocka_unit_test_setup_teardown(function, pair_start_with_replicas, pair_end)

/* From now on the replica gets nothing. */
void pair_stop_following(void);

bool pair_lags(enum fail_over kind);

/* The old master goes on in a planned one, for clients that still are there. */
void pair_fail_over(enum fail_over kind);

#endif
