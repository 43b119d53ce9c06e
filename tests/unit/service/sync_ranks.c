/* SPDX-License-Identifier: MIT */
/* The busiest sessions, of many. */
#include "node/service/sync/ranks.h"
#include "tests/unit/cmocka_all.h"

enum { RANKED = 20000, WANTED = 32 };

static struct sync_rank ranked[RANKED];

static void put_all(struct sync_ranks *ranks)
{
    sync_ranks_init(ranks);
    for (uint32_t i = 0; i < RANKED; i++) {
        sync_rank_init(&ranked[i]);
        sync_ranks_put(ranks, &ranked[i], 1 + i % 4);
    }
}

static void test_the_busiest_come_first(void **state)
{
    (void)state;
    struct sync_ranks ranks;
    struct sync_rank *first[WANTED];
    put_all(&ranks);
    sync_ranks_put(&ranks, &ranked[7], 90);
    sync_ranks_put(&ranks, &ranked[8], 700);
    sync_ranks_put(&ranks, &ranked[9], 9000);
    sync_ranks_put(&ranks, &ranked[10], 600);
    sync_ranks_put(&ranks, &ranked[10], 800); /* stays in the last list */
    assert_int_equal(sync_ranks_first(&ranks, first, WANTED), WANTED);
    const uint32_t members[] = {9000, 800, 700, 90, 4};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(first[i]->members, members[i]);
    }
    sync_ranks_drop(&ranks, &ranked[9]);
    sync_ranks_drop(&ranks, &ranked[9]);
    assert_int_equal(ranks.count, RANKED - 1);
    assert_int_equal(sync_ranks_first(&ranks, first, 2), 2);
    assert_int_equal(first[0]->members, 800);
    assert_int_equal(first[1]->members, 700);
}

/* However many there are, as many are looked at as are shown. */
static void test_few_are_looked_at(void **state)
{
    (void)state;
    struct sync_ranks ranks;
    struct sync_rank *first[WANTED];
    put_all(&ranks);
    assert_int_equal(sync_ranks_first(&ranks, first, WANTED), WANTED);
    assert_int_equal(ranks.looked, WANTED);
    for (uint32_t i = 0; i < RANKED; i++) {
        sync_ranks_drop(&ranks, &ranked[i]);
    }
    assert_int_equal(ranks.count, 0);
    assert_int_equal(sync_ranks_first(&ranks, first, WANTED), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_busiest_come_first),
        cmocka_unit_test(test_few_are_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
