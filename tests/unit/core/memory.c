/* SPDX-License-Identifier: MIT */
/* What the allocator does with small pieces that are freed, by its own count (a sanitizer's has none). */
#include "node/core/memory.h"

#include "store/base/mem.h"
#include "tests/unit/cmocka_all.h"

#include <malloc.h>

enum { PIECES = 10000, PIECE = 48 };

static void test_none_is_kept_aside(void **state)
{
    static char *pieces[PIECES];
    (void)state;
    memory_join_freed();
    for (int i = 0; i < PIECES; i++) {
        pieces[i] = mem_alloc(PIECE);
    }
    for (int i = 0; i < PIECES; i++) {
        free(pieces[i]);
    }
    assert_int_equal(mallinfo2().smblks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none_is_kept_aside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
