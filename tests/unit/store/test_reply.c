/* SPDX-License-Identifier: MIT */
/* Replies in blocks look as hiredis' own, however the bytes come. */
#include "tests.h"

#include "store/redis/reply.h"

static void assert_same(const redisReply *mine, const redisReply *theirs)
{
    assert_int_equal(mine->type, theirs->type);
    assert_int_equal(mine->integer, theirs->integer);
    assert_int_equal(mine->len, theirs->len);
    assert_int_equal(mine->elements, theirs->elements);
    if (theirs->str != NULL) {
        assert_memory_equal(mine->str, theirs->str, theirs->len + 1);
    }
    for (size_t i = 0; i < theirs->elements; i++) {
        assert_same(mine->element[i], theirs->element[i]);
    }
}

/* Feeds `text` in pieces of `piece` bytes to both readers, `times` over. */
static void compare(struct span text, size_t piece, int times)
{
    struct redis_replies *mine = redis_replies_new();
    redisReader *theirs = redisReaderCreate();
    int seen = 0;
    for (int i = 0; i < times; i++) {
        for (size_t at = 0; at < text.len; at += piece) {
            size_t len = text.len - at < piece ? text.len - at : piece;
            void *expected = NULL;
            const redisReply *reply = NULL;
            redisReaderFeed(redis_replies_reader(mine), text.ptr + at, len);
            redisReaderFeed(theirs, text.ptr + at, len);
            while (redis_replies_next(mine, &reply) == 1) {
                assert_int_equal(redisReaderGetReply(theirs, &expected), REDIS_OK);
                assert_same(reply, expected);
                freeReplyObject(expected);
                redis_replies_done(mine);
                seen++;
            }
        }
    }
    assert_true(seen >= times);
    redisReaderFree(theirs);
    redis_replies_free(&mine);
    assert_null(mine);
    redis_replies_free(&mine);
}

static void replies_are_as_hiredis_makes_them(void **state)
{
    struct span all =
        SPAN("+OK\r\n-ERR no\r\n:-12\r\n$-1\r\n*-1\r\n*0\r\n$0\r\n\r\n$4\r\na\0\r\n\r\n"
             "*3\r\n$1\r\nx\r\n*2\r\n:1\r\n$-1\r\n*1\r\n*1\r\n+deep\r\n");
    (void)state;
    for (size_t piece = 1; piece <= all.len; piece++) {
        compare(all, piece, 3);
    }
}

static void large_replies_take_more_blocks_and_give_them_back(void **state)
{
    struct buf text = {0};
    (void)state;
    buf_printf(&text, "*2001\r\n");
    for (int i = 0; i < 2000; i++) {
        buf_printf(&text, "*2\r\n$6\r\n%06d\r\n:%d\r\n", i, i);
    }
    buf_printf(&text, "$200000\r\n");
    memset(buf_room(&text, 200000), 'x', 200000);
    buf_grew(&text, 200000);
    buf_append(&text, SPAN("\r\n+and a small one\r\n"));
    compare(buf_span(&text), 65536, 3);
    compare(buf_span(&text), text.len, 3);
    buf_free(&text);
}

static void what_is_no_protocol_is_an_error(void **state)
{
    struct redis_replies *replies = redis_replies_new();
    const redisReply *reply;
    (void)state;
    redisReaderFeed(redis_replies_reader(replies), "*2\r\n+half\r\nHTTP", 16);
    assert_int_equal(redis_replies_next(replies, &reply), -1);
    redis_replies_free(&replies);
}

static void expect(const char *text, int answer)
{
    struct redis_replies *replies = redis_replies_new();
    const redisReply *reply;
    redisReaderFeed(redis_replies_reader(replies), text, strlen(text));
    assert_int_equal(redis_replies_next(replies, &reply), answer);
    redis_replies_free(&replies);
}

/* A few bytes announce what never comes; those of all arrays of a reply count together. */
static void too_many_elements_are_an_error(void **state)
{
    (void)state;
    expect("*4294967295\r\n", -1);
    expect("*1048577\r\n", -1);
    expect("*1048576\r\n", 0);
    expect("*2\r\n*600000\r\n", 0);
    expect("*1\r\n*1048575\r\n", 0);
    expect("*1\r\n*1\r\n*1048575\r\n", -1);
}

/* What one reply had is not held against the next. */
static void each_reply_has_its_own_elements(void **state)
{
    struct redis_replies *replies = redis_replies_new();
    struct buf text = {0};
    const redisReply *reply;
    (void)state;
    buf_append(&text, SPAN("*400000\r\n"));
    for (int i = 0; i < 400000; i++) {
        buf_append(&text, SPAN(":1\r\n"));
    }
    for (int i = 0; i < 4; i++) {
        redisReaderFeed(redis_replies_reader(replies), text.ptr, text.len);
        assert_int_equal(redis_replies_next(replies, &reply), 1);
        redis_replies_done(replies);
    }
    buf_free(&text);
    redis_replies_free(&replies);
}

int test_reply(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_are_as_hiredis_makes_them),
        cmocka_unit_test(large_replies_take_more_blocks_and_give_them_back),
        cmocka_unit_test(what_is_no_protocol_is_an_error),
        cmocka_unit_test(too_many_elements_are_an_error),
        cmocka_unit_test(each_reply_has_its_own_elements),
    };
    return cmocka_run_group_tests_name("replies", tests, NULL, NULL);
}
