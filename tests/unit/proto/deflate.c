/* SPDX-License-Identifier: MIT */
#include "node/proto/ws/deflate.h"
#include "store/base/mem.h"
#include "tests/unit/cmocka_all.h"

static void expect_round_trip(struct span message)
{
    struct buf squeezed = {0}, back = {0};
    buf_append(&squeezed, SPAN("before"));
    deflate_message(message, &squeezed);
    struct span inside = span_skip(buf_span(&squeezed), 6);
    assert_int_equal(deflate_inflate(inside, message.len, &back), INFLATE_OK);
    assert_true(span_eq(buf_span(&back), message));
    if (message.len > 0) {
        back.len = 0;
        assert_int_equal(deflate_inflate(inside, message.len - 1, &back), INFLATE_TOO_BIG);
        assert_true(back.len <= message.len - 1);
    }
    buf_free(&squeezed);
    buf_free(&back);
}

static void test_round_trips(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 2, 49, 50, 4095, 4096, 16383, 16384, 65535, 65536, 300000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        size_t len = sizes[i];
        char *bytes = mem_zalloc(len + 1);
        expect_round_trip(span_of(bytes, len));
        uint32_t seed = 1;
        for (size_t j = 0; j < len; j++) {
            seed = seed * 1664525 + 1013904223;
            bytes[j] = (char)(seed >> 24);
        }
        expect_round_trip(span_of(bytes, len));
        free(bytes);
    }
}

static void expect_inflated(struct span message, enum inflate_result result, const char *text)
{
    struct buf out = {0};
    assert_int_equal(deflate_inflate(message, 1000, &out), result);
    if (result == INFLATE_OK) {
        assert_true(span_eq(buf_span(&out), span_str(text)));
    }
    buf_free(&out);
}

static void test_examples_of_the_rfc(void **state)
{
    (void)state;
    expect_inflated(SPAN("\xf2\x48\xcd\xc9\xc9\x07\x00"), INFLATE_OK, "Hello"); /* 7.2.3.1 */
    expect_inflated(SPAN("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), INFLATE_OK,
                    "Hello"); /* 7.2.3.3: a block without compression */
    expect_inflated(SPAN("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), INFLATE_OK,
                    "Hello"); /* 7.2.3.4: BFINAL */
    expect_inflated(SPAN("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), INFLATE_OK,
                    "Hello"); /* 7.2.3.5: two blocks */
    expect_inflated(SPAN("\x00"), INFLATE_OK, "");
    expect_inflated(SPAN(""), INFLATE_OK, "");
    expect_inflated(SPAN("\x02\x00"), INFLATE_OK, ""); /* an empty fixed block */
    /* Without the byte that should follow BFINAL, and with another stream behind it. */
    expect_inflated(SPAN("\xf3\x48\xcd\xc9\xc9\x07\x00"), INFLATE_OK, "Hello");
    expect_inflated(SPAN("\xf3\x48\xcd\xc9\xc9\x07\x00\xf2\x48\xcd\xc9\xc9\x07\x00"), INFLATE_OK,
                    "HelloHello");
}

static void test_broken_data(void **state)
{
    (void)state;
    expect_inflated(SPAN("\xff\xff\xff"), INFLATE_BROKEN, NULL);
    expect_inflated(SPAN("\x07"), INFLATE_BROKEN, NULL);
    expect_inflated(SPAN("\xf2\x48\xcd"), INFLATE_BROKEN, NULL);             /* cut short */
    expect_inflated(SPAN("\x00\x05\x00\xfa\xff\x48"), INFLATE_BROKEN, NULL); /* a cut block */
    expect_inflated(SPAN("\xf3\x48\xcd\xc9\xc9\x07\x00\xff\xff"), INFLATE_BROKEN, NULL);
    expect_inflated(SPAN("\xf2\x48\xcd\xc9\xc9\x07\x00"), INFLATE_OK, "Hello"); /* still fine */
}

static void test_a_bomb_stays_small(void **state)
{
    (void)state;
    size_t len = 64 * 1024 * 1024;
    char *zeros = mem_zalloc(len);
    struct buf bomb = {0}, out = {0};
    deflate_message(span_of(zeros, len), &bomb);
    assert_true(bomb.len < len / 100);
    assert_int_equal(deflate_inflate(buf_span(&bomb), 256 * 1024, &out), INFLATE_TOO_BIG);
    assert_true(out.len <= 256 * 1024 && out.cap <= 512 * 1024);
    buf_free(&bomb);
    buf_free(&out);
    free(zeros);
}

#define PLAIN "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
#define WITH_BITS PLAIN "; server_max_window_bits=15"

static const struct {
    const char *offers;
    const char *answer; /* NULL: none holds */
} negotiations[] = {
    {"permessage-deflate", PLAIN},
    {"Permessage-Deflate", PLAIN},
    {" permessage-deflate ", PLAIN},
    {"permessage-deflate; client_max_window_bits", PLAIN},
    {"permessage-deflate;client_max_window_bits", PLAIN},
    {"permessage-deflate; client_max_window_bits=15", PLAIN},
    {"permessage-deflate; client_max_window_bits=8", PLAIN},
    {"permessage-deflate; client_max_window_bits=\"10\"", PLAIN},
    {"permessage-deflate; client_max_window_bits = 12", PLAIN},
    {"permessage-deflate; client_max_window_bits=7", NULL},
    {"permessage-deflate; client_max_window_bits=16", NULL},
    {"permessage-deflate; client_max_window_bits=08", NULL},
    {"permessage-deflate; client_max_window_bits=", NULL},
    {"permessage-deflate; client_max_window_bits=x", NULL},
    {"permessage-deflate; server_max_window_bits=15", WITH_BITS},
    {"permessage-deflate; server_max_window_bits=\"15\"", WITH_BITS},
    {"permessage-deflate; server_max_window_bits=10", NULL},
    {"permessage-deflate; server_max_window_bits", NULL},
    {"permessage-deflate; server_max_window_bits=10, permessage-deflate", PLAIN},
    {"permessage-deflate; server_max_window_bits=10; client_max_window_bits, "
     "permessage-deflate; client_max_window_bits",
     PLAIN},
    {"permessage-deflate; server_no_context_takeover", PLAIN},
    {"permessage-deflate; client_no_context_takeover; server_no_context_takeover", PLAIN},
    {"permessage-deflate; server_no_context_takeover=1", NULL},
    {"permessage-deflate; client_no_context_takeover=", NULL},
    {"permessage-deflate; server_no_context_takeover; server_no_context_takeover", NULL},
    {"permessage-deflate; client_max_window_bits; client_max_window_bits=10", NULL},
    {"permessage-deflate; unknown", NULL},
    {"permessage-deflate; unknown=\"a,b;c\\\"d\", permessage-deflate", PLAIN},
    {"permessage-deflate; unknown=\"a, permessage-deflate", NULL}, /* an open quote */
    {"permessage-deflate;", NULL},
    {"x-webkit-deflate-frame", NULL},
    {"x-webkit-deflate-frame, permessage-deflate", PLAIN},
    {"foo; bar=1,, permessage-deflate; client_max_window_bits", PLAIN},
    {"permessage-bzip2", NULL},
    {"permessage-deflate2", NULL},
    {"", NULL},
    {",", NULL},
    {";", NULL},
    {"=", NULL},
};

static void test_negotiation(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(negotiations) / sizeof(*negotiations); i++) {
        struct buf answer = {0};
        const char *want = negotiations[i].answer;
        bool held = deflate_negotiate(span_str(negotiations[i].offers), &answer);
        assert_int_equal(held, want != NULL);
        assert_string_equal(buf_text(&answer), want != NULL ? want : "");
        buf_free(&answer);
    }
    struct buf answer = {0};
    assert_false(deflate_negotiate(span_of(NULL, 0), &answer));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips), cmocka_unit_test(test_examples_of_the_rfc),
        cmocka_unit_test(test_broken_data), cmocka_unit_test(test_a_bomb_stays_small),
        cmocka_unit_test(test_negotiation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
