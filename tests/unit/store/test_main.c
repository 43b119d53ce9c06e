#include "tests.h"

#include <string.h>

/* `test_store faults` runs the faults only, `test_store pattern` the tests that match. */
int main(int argc, char **argv)
{
    bool only_faults = argc > 1 && strcmp(argv[1], "faults") == 0;
    if (argc > 1 && !only_faults) {
        cmocka_set_test_filter(argv[1]);
    }
    if (only_faults) {
        return test_faults() > 0 ? 1 : 0;
    }
    int failed = test_url() + test_view();
    failed += test_roster("memory", lab_memory) + test_bus("memory", lab_memory);
    failed += test_lookup("memory", lab_memory) + test_history("memory", lab_memory);
    failed += test_roster("redis", lab_redis) + test_bus("redis", lab_redis);
    failed += test_lookup("redis", lab_redis) + test_history("redis", lab_redis);
    failed += test_roster("shards", lab_shards) + test_bus("shards", lab_shards);
    failed += test_lookup("shards", lab_shards) + test_history("shards", lab_shards);
    failed += test_lookup_faults() + test_history_faults();
    failed += test_faults();
    return failed > 0 ? 1 : 0;
}
