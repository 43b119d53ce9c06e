/* SPDX-License-Identifier: MIT */
#include "node/core/memory.h"

#include "store/base/mem.h"
#include "tests/unit/cmocka_all.h"

#include <malloc.h>

/* What is laid aside has to be joined in one piece later. */
static void nothing_is_laid_aside(void **state)
{
    enum { MANY = 10000, SMALL = 48 };
    static void *blocks[MANY];
    (void)state;
    memory_join_at_once();
    for (int i = 0; i < MANY; i++) {
        blocks[i] = mem_alloc(SMALL);
    }
    for (int i = 0; i < MANY; i++) {
        free(blocks[i]);
    }
#ifdef M_MXFAST
    assert_int_equal(mallinfo2().fsmblks, 0);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_is_laid_aside)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
