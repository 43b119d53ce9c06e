/* SPDX-License-Identifier: MIT */
#include "tests.h"

#include <string.h>

/* `test_store faults` or `tls` runs that group only, `test_store pattern` the tests that match. */
int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "*";
    if (strcmp(what, "faults") == 0) {
        return test_faults() > 0 ? 1 : 0;
    }
    if (strcmp(what, "tls") == 0) {
        return test_tls() > 0 ? 1 : 0;
    }
    cmocka_set_test_filter(what);
    int failed = test_url() + test_speaker() + test_view() + test_sink_batch() + test_reply();
    failed += test_roster("memory", lab_memory) + test_bus("memory", lab_memory);
    failed += test_lookup("memory", lab_memory) + test_history("memory", lab_memory);
    failed += test_roster("redis", lab_redis) + test_bus("redis", lab_redis);
    failed += test_lookup("redis", lab_redis) + test_history("redis", lab_redis);
    failed += test_roster("shards", lab_shards) + test_bus("shards", lab_shards);
    failed += test_stream("memory", lab_memory) + test_stream("redis", lab_redis);
    failed += test_stream("shards", lab_shards);
    failed += test_lookup("shards", lab_shards) + test_history("shards", lab_shards);
    failed += test_roster("tls", lab_tls) + test_bus("tls", lab_tls);
    failed += test_lookup("tls", lab_tls) + test_history("tls", lab_tls) + test_tls();
    failed += test_lookup_faults() + test_history_faults();
    failed += test_faults();
    return failed > 0 ? 1 : 0;
}
