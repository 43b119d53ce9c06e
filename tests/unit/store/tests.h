/* SPDX-License-Identifier: MIT */
#ifndef MUSTER_TESTS_STORE_TESTS_H
#define MUSTER_TESTS_STORE_TESTS_H

#include "lab.h"

/* Each runs a group and returns how many tests failed. */
int test_url(void);
int test_speaker(void);
int test_view(void);
int test_lease(void);
int test_roster(const char *name, CMFixtureFunction start);
int test_bus(const char *name, CMFixtureFunction start);
int test_crowd(const char *name, CMFixtureFunction start);
int test_parcels(void);
int test_sink_batch(void);
int test_reply(void);
int test_outbox(void);
int test_hush(void);
int test_stream(const char *name, CMFixtureFunction start);
int test_lookup(const char *name, CMFixtureFunction start);
int test_lookup_faults(void);
int test_history(const char *name, CMFixtureFunction start);
int test_history_faults(void);
int test_faults(void);
int test_link_faults(void);
int test_lease_faults(void);
int test_tls(void);
int test_wire(void);
int test_partition(void);
int test_parts(void);
int test_pair_stream(void);
int test_pair_members(void);
int test_replicas(void);
int test_map(void);
int test_cluster(void);
int test_change(void);
int test_sweep(void);

#define LAB_TEST(function) cmocka_unit_test_setup_teardown(function, lab_setup, lab_teardown)

#endif
