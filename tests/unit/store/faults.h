/* SPDX-License-Identifier: MIT */
/* faults: what tests of faults share: servers for each test alone, and views of one key that a fault must
 * not disturb. */
#ifndef MUSTER_TESTS_FAULTS_H
#define MUSTER_TESTS_FAULTS_H

#include "lab.h"

static struct redis_server_process *const redis = &lab.servers[0];
static struct redis_server_process *const other = &lab.servers[1]; /* not started */

int faults_start(void **state);
int faults_end(void **state);

#define FAULT_TEST(function) cmocka_unit_test_setup_teardown(function, faults_start, faults_end)

/* `count` nodes, each with a member "m<i>" in "k" and a watch of it that is current. */
void views_settle(struct watcher *w, int count);
void views_stop(struct watcher *w, int count);

/* No watcher ever saw anything but `count` members, and nobody left. */
void views_never_flickered(struct watcher *w, int count);

/* Each was told, since it was last marked, that it is current; that it may be old. */
bool views_current(struct watcher *w, int count);
bool views_stale(struct watcher *w, int count);

bool nodes_ready(int count);

#endif
