/* SPDX-License-Identifier: MIT */
#include "tests.h"

#include <string.h>

static int parts(void)
{
    return test_url() + test_speaker() + test_view() + test_lease() + test_sink_batch() +
           test_reply() + test_outbox() + test_hush() + test_map();
}

/* The store's contract, which is the same whatever is behind it. */
static int contract(const char *name, CMFixtureFunction start)
{
    return test_roster(name, start) + test_bus(name, start) + test_crowd(name, start) +
           test_lookup(name, start) + test_history(name, start);
}

static int on_memory(void)
{
    return contract("memory", lab_memory) + test_stream("memory", lab_memory) + test_sweep();
}

static int on_redis(void)
{
    return contract("redis", lab_redis) + test_stream("redis", lab_redis);
}

static int on_shards(void)
{
    return contract("shards", lab_shards) + test_stream("shards", lab_shards);
}

static int over_tls(void)
{
    return contract("tls", lab_tls) + test_tls();
}

/* At three masters and their replicas. */
static int on_cluster(void)
{
    return contract("cluster", lab_cluster);
}

static int stream_on_cluster(void)
{
    return test_stream("cluster", lab_cluster);
}

/* The contract at a server that was promoted. */
static int on_pair(void)
{
    return contract("pair", lab_promoted_pair) + test_stream("pair", lab_promoted_pair);
}

static int other_faults(void)
{
    return test_wire() + test_parcels() + test_partition() + test_lookup_faults() +
           test_history_faults();
}

/* Each is a ctest case, so that they wait side by side. */
static const struct {
    const char *name;
    int (*run)(void);
} groups[] = {
    {"parts", parts},
    {"memory", on_memory},
    {"redis", on_redis},
    {"shards", on_shards},
    {"tls", over_tls},
    {"pair", on_pair},
    {"stream_parts", test_parts},
    {"cluster", on_cluster},
    {"fail_over", test_pair_stream},
    {"fail_over_members", test_pair_members},
    {"replicas", test_replicas},
    {"cluster_stream", stream_on_cluster},
    {"cluster_moves", test_cluster},
    {"faults", test_faults},
    {"link_faults", test_link_faults},
    {"lease_faults", test_lease_faults},
    {"other_faults", other_faults},
    {"change", test_change},
};

/* `test_store [GROUP [PATTERN]]`: one group or all, and of those the tests whose names match. */
int main(int argc, char **argv)
{
    const char *only = argc > 1 ? argv[1] : "*";
    int failed = 0;
    bool known = false;
    cmocka_set_test_filter(argc > 2 ? argv[2] : "*");
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        if (strcmp(only, "*") == 0 || strcmp(only, groups[i].name) == 0) {
            known = true;
            failed += groups[i].run();
        }
    }
    return failed > 0 || !known ? 1 : 0;
}
