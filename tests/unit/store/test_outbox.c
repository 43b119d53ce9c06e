/* SPDX-License-Identifier: MIT */
/* What is put in comes out, in order, however it is cut; and long chunks are shared. */
#include "tests.h"

#include "store/redis/outbox.h"

#include <stdlib.h>

enum { LONG = 40000 };

static struct chunk *chunk_filled(size_t len, char with)
{
    struct chunk *chunk = chunk_new(len);
    memset(chunk->data, with, len);
    return chunk;
}

/* Takes all, at most `step` bytes at a time. */
static void drain(struct redis_outbox *box, size_t step, struct buf *out)
{
    size_t len = redis_outbox_len(box);
    for (struct span front = redis_outbox_front(box); front.len > 0;
         front = redis_outbox_front(box)) {
        front.len = front.len < step ? front.len : step;
        buf_append(out, front);
        redis_outbox_take(box, front.len);
        len -= front.len;
        assert_int_equal(redis_outbox_len(box), len);
    }
    assert_int_equal(len, 0);
}

static void what_is_put_in_comes_out_in_order(void **state)
{
    (void)state;
    static const size_t steps[] = {1, 7, 1000, 39999, 40000, 1000000};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct redis_outbox box = {0};
        struct buf out = {0}, wanted = {0};
        srand(1);
        for (int n = 0; n < 40; n++) {
            struct chunk *chunk = chunk_filled((size_t)rand() % 3 * LONG / 2, (char)('a' + n % 26));
            struct span bytes = span_of(chunk->data, chunk->len);
            redis_outbox_put(&box, SPAN("head"));
            redis_outbox_share(&box, chunk);
            buf_append(&wanted, SPAN("head"));
            buf_append(&wanted, bytes);
            chunk_unref(chunk);
            if (n == 20) { /* and goes on after it was empty */
                drain(&box, steps[i], &out);
            }
        }
        drain(&box, steps[i], &out);
        assert_int_equal(out.len, wanted.len);
        assert_memory_equal(out.ptr, wanted.ptr, wanted.len);
        redis_outbox_free(&box);
        buf_free(&out);
        buf_free(&wanted);
    }
}

static void what_is_long_is_shared_and_let_go(void **state)
{
    (void)state;
    struct redis_outbox one = {0}, both = {0};
    struct chunk *chunk = chunk_filled(LONG, 'x');
    redis_outbox_put(&one, SPAN("a"));
    redis_outbox_share(&one, chunk);
    redis_outbox_put(&one, SPAN("b"));
    redis_outbox_add(&both, &one);
    redis_outbox_add(&both, &one);
    assert_int_equal(chunk->refs, 4);
    assert_int_equal(redis_outbox_len(&both), 2 * (LONG + 2));
    redis_outbox_free(&one);
    assert_int_equal(chunk->refs, 3);
    redis_outbox_take(&both, 1);
    assert_ptr_equal(redis_outbox_front(&both).ptr, chunk->data);
    redis_outbox_take(&both, LONG);
    assert_int_equal(chunk->refs, 2);
    redis_outbox_free(&both);
    assert_int_equal(chunk->refs, 1);
    chunk_unref(chunk);
}

int test_outbox(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_in_comes_out_in_order),
        cmocka_unit_test(what_is_long_is_shared_and_let_go),
    };
    return cmocka_run_group_tests_name("outbox", tests, NULL, NULL);
}
