#include "tests.h"

int main(void)
{
    int failed = test_url() + test_view();
    failed += test_roster("memory", lab_memory) + test_bus("memory", lab_memory);
    failed += test_roster("redis", lab_redis) + test_bus("redis", lab_redis);
    failed += test_roster("shards", lab_shards) + test_bus("shards", lab_shards);
    failed += test_stream("memory", lab_memory) + test_stream("redis", lab_redis);
    failed += test_stream("shards", lab_shards);
    failed += test_faults();
    return failed > 0 ? 1 : 0;
}
