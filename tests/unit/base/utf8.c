/* SPDX-License-Identifier: MIT */
#include "store/base/utf8.h"
#include "tests/unit/cmocka_all.h"

#define TEXT(literal)                                                                              \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }

static const struct span good[] = {
    TEXT(""),
    TEXT("\0"),
    TEXT("Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!"), /* Autobahn 6.2
                                                                                      */
    TEXT("\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"),                            /* 6.5 */
    TEXT("\x7f"),
    TEXT("\xc2\x80"),
    TEXT("\xdf\xbf"),
    TEXT("\xe0\xa0\x80"),
    TEXT("\xed\x9f\xbf"), /* the last before the surrogates */
    TEXT("\xee\x80\x80"), /* the first after them */
    TEXT("\xef\xbf\xbd"),
    TEXT("\xef\xbf\xbe"), /* noncharacters are characters here, 6.22 */
    TEXT("\xef\xbf\xbf"),
    TEXT("\xf0\x90\x80\x80"),
    TEXT("\xf4\x8f\xbf\xbf"),
    TEXT("0123456\xc2\x80"), /* over the border of a word */
    TEXT("01234567\xf0\x9f\x98\x80"
         "01234567890123456789"),
};

static const struct span bad[] = {
    TEXT("\x80"),
    TEXT("\xbf"),
    TEXT("\xc0\x80"), /* overlong */
    TEXT("\xc1\xbf"),
    TEXT("\xe0\x80\x80"),
    TEXT("\xe0\x9f\xbf"),
    TEXT("\xf0\x80\x80\x80"),
    TEXT("\xf0\x8f\xbf\xbf"),
    TEXT("\xed\xa0\x80"), /* surrogates */
    TEXT("\xed\xad\xbf"),
    TEXT("\xed\xaf\xbf"),
    TEXT("\xed\xb0\x80"),
    TEXT("\xed\xbf\xbf"),
    TEXT("\xed\xa0\x80\xed\xb0\x80"),
    TEXT("\xf4\x90\x80\x80"), /* beyond U+10FFFF */
    TEXT("\xf5\x80\x80\x80"),
    TEXT("\xf8\x88\x80\x80\x80"),
    TEXT("\xfc\x84\x80\x80\x80\x80"),
    TEXT("\xfe"),
    TEXT("\xff"),
    TEXT("\xc2"), /* cut short */
    TEXT("\xe2\x82"),
    TEXT("\xf0\x9f\x98"),
    TEXT("\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80"
         "edited"), /* 6.3 */
    TEXT("\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80"
         "edited"), /* 6.4 */
    TEXT("\xc2"
         "A"), /* no continuation */
    TEXT("01234567\xff"
         "01234567"),
};

static bool valid_in_pieces(struct span text, size_t piece)
{
    struct utf8 utf8 = {0};
    while (text.len > 0) {
        size_t n = text.len < piece ? text.len : piece;
        if (!utf8_feed(&utf8, span_of(text.ptr, n))) {
            return false;
        }
        text = span_skip(text, n);
    }
    return utf8_whole(&utf8);
}

static void test_tables(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 12; piece++) {
        for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
            assert_true(utf8_valid(good[i]));
            assert_true(valid_in_pieces(good[i], piece));
        }
        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
            assert_false(utf8_valid(bad[i]));
            assert_false(valid_in_pieces(bad[i], piece));
        }
    }
}

/* By the definition: decode, and look whether the code point is one and was written as short as can
 * be. */
static bool is_character(const unsigned char *at, size_t len)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    static const unsigned char mark[] = {0, 0, 0xc0, 0xe0, 0xf0};
    if (len == 1) {
        return at[0] < 0x80;
    }
    uint32_t code = at[0] & (0x7fU >> len);
    if ((at[0] & ~(0x7fU >> len)) != mark[len]) {
        return false;
    }
    for (size_t i = 1; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return false;
        }
        code = code << 6 | (at[i] & 0x3fU);
    }
    return code >= least[len] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
}

static void test_all_of_two_and_three_bytes(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 1U << 24; i++) {
        unsigned char b[3] = {(unsigned char)i, (unsigned char)(i >> 8), (unsigned char)(i >> 16)};
        if (b[0] < 0x80 || (i >> 16 != 0 && b[1] < 0x80)) {
            continue;
        }
        bool two = is_character(b, 2);
        assert_int_equal(utf8_valid(span_of(b, 2)), two);
        bool want = is_character(b, 3) || (two && b[2] < 0x80);
        assert_int_equal(utf8_valid(span_of(b, 3)), want);
    }
}

static void test_bad_text_fails_at_once(void **state)
{
    (void)state;
    struct utf8 utf8 = {0};
    assert_true(utf8_feed(&utf8, SPAN("\xf4")));
    assert_false(utf8_feed(&utf8, SPAN("\x90"))); /* Autobahn 6.4.3: not only at the end */
}

static void test_a_cut_leaves_whole_characters(void **state)
{
    static const struct span text = {"a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 10}; /* 1, 2, 3, 4 */
    static const size_t whole[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10};
    (void)state;
    for (size_t most = 0; most < sizeof(whole) / sizeof(*whole); most++) {
        struct span cut = utf8_cut(text, most);
        assert_ptr_equal(cut.ptr, text.ptr);
        assert_int_equal(cut.len, whole[most]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tables),
                                       cmocka_unit_test(test_all_of_two_and_three_bytes),
                                       cmocka_unit_test(test_bad_text_fails_at_once),
                                       cmocka_unit_test(test_a_cut_leaves_whole_characters)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
