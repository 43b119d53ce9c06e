/* SPDX-License-Identifier: MIT */
#include "node/proto/json/scan.h"
#include "store/base/mem.h"
#include "tests/unit/cmocka_all.h"

#include <stdlib.h>

/* Is the text, fed in pieces, one value with nothing but white space behind it? */
static bool accepts(struct span text, size_t piece)
{
    struct json_scan scan;
    bool whole = false;
    json_scan_init(&scan);
    while (text.len > 0) {
        struct span part = span_of(text.ptr, text.len < piece ? text.len : piece);
        size_t used = 0;
        if (whole) {
            used = 1;
            if (strchr(" \t\r\n", text.ptr[0]) == NULL || text.ptr[0] == '\0') {
                return false;
            }
        } else {
            int rc = json_scan_feed(&scan, part, &used);
            assert_true(used <= part.len);
            if (rc < 0) {
                return false;
            }
            assert_true(rc > 0 || used == part.len);
            whole = rc > 0;
        }
        text = span_skip(text, used);
    }
    return json_scan_end(&scan);
}

static void expect(struct span text, bool good)
{
    for (size_t piece = 1; piece <= text.len + 1; piece++) {
        if (accepts(text, piece) != good) {
            fail_msg("%s in pieces of %zu: \"%.*s\"", good ? "refused" : "accepted", piece,
                     SPAN_ARG(text));
        }
    }
}

/* After the cases of JSONTestSuite (n_ and y_), which names them. */
static const char *const good_texts[] = {
    "[[]   ]",
    "[\"\"]",
    "[]",
    "[\"a\"]",
    "[false]",
    "[null, 1, \"1\", {}]",
    "[null]",
    "[1\n]",
    " [1]",
    "[1,null,null,null,2]",
    "[2] ",
    "[123e65]",
    "[0e+1]",
    "[0e1]",
    "[ 4]",
    "[-0.000000000000000000000000000000000000000000000000000000000000000000000000000001]\n",
    "[20e1]",
    "[-0]",
    "[-123]",
    "[-1]",
    "[-0.0]",
    "[1E22]",
    "[1E-2]",
    "[1E+2]",
    "[123e45]",
    "[123.456e78]",
    "[1e-2]",
    "[1e+2]",
    "[123]",
    "[123.456789]",
    "{\"asd\":\"sdf\", \"dfg\":\"fgh\"}",
    "{\"asd\":\"sdf\"}",
    "{\"a\":\"b\",\"a\":\"c\"}",
    "{\"a\":\"b\",\"a\":\"b\"}",
    "{}",
    "{\"\":0}",
    "{\"foo\\u0000bar\": 42}",
    "{ \"min\": -1.0e+28, \"max\": 1.0e+28 }",
    "{\"x\":[{\"id\": \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}], \"id\": \"x\"}",
    "{\"a\":[]}",
    "{\n\"a\": \"b\"\n}",
    "[\"\\u0060\\u012a\\u12AB\"]",
    "[\"\\uD801\\udc37\"]",
    "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]",
    "[\"\\\\u0000\"]",
    "[\"\\\"\"]",
    "[\"a/*b*/c/*d//e\"]",
    "[\"\\\\a\"]",
    "[\"\\\\n\"]",
    "[\"\\u0012\"]",
    "[\"\\uFFFF\"]",
    "[ \"asd\"]",
    "[\"\x7f\"]",
    "[\"\\uDBFF\\uDFFE\"]",
    "[\"new\\u00A0line\"]",
    "[\"\xf4\x8f\xbf\xbf\"]",
    "[\"\\u0000\"]",
    "\" \"",
    "[\"\\uD834\\uDd1e\"]",
    "[\"\xe2\x82\xac\xf0\x9d\x84\x9e\"]",
    "[\"aa\"]",
    "false",
    "42",
    "-0.1",
    "null",
    "\"asd\"",
    "true",
    "\"\"",
    "[\"a\"]\n",
    "[true]",
    " [] ",
    "0",
    "1 ",
    "\t\r\n 1.5e3 \n",
    "[1,[2,[3,{\"a\":[{}]}]],4]",
    "[\"\\uDADA\"]", /* a lone surrogate is grammar all the same */
};

static const char *const bad_texts[] = {
    "[1 true]",
    "[\"\": 1]",
    "[\"\"],",
    "[,1]",
    "[1,,2]",
    "[\"x\",,]",
    "[\"x\"]]",
    "[\"\",]",
    "[\"x\"",
    "[x",
    "[3[4]]",
    "[1:2]",
    "[,]",
    "[-]",
    "[   , \"\"]",
    "[\"a\",\n4\n,1,",
    "[1,]",
    "[1,,]",
    "[\"\va\"\\f]",
    "[*]",
    "[\"\"",
    "[1,",
    "[1,\n1\n,1",
    "[{}",
    "[fals]",
    "[nul]",
    "[tru]",
    "[++1234]",
    "[+1]",
    "[+Inf]",
    "[-01]",
    "[-1.0.]",
    "[-2.]",
    "[-NaN]",
    "[.-1]",
    "[.2e-3]",
    "[0.1.2]",
    "[0.3e+]",
    "[0.3e]",
    "[0.e1]",
    "[0E+]",
    "[0E]",
    "[0e+]",
    "[0e]",
    "[1.0e+]",
    "[1.0e-]",
    "[1.0e]",
    "[1 000.0]",
    "[1eE2]",
    "[2.e+3]",
    "[2.e-3]",
    "[2.e3]",
    "[9.e+]",
    "[Inf]",
    "[NaN]",
    "[1+2]",
    "[0x1]",
    "[0x42]",
    "[Infinity]",
    "[0e+-1]",
    "[-123.123foo]",
    "[-Infinity]",
    "[-foo]",
    "[- 1]",
    "[-012]",
    "[-.123]",
    "[1ea]",
    "[1e]",
    "[1.]",
    "[.123]",
    "[1.2a-3]",
    "[1.8011670033376514H-308]",
    "[012]",
    "[\"x\", truth]",
    "{[: \"x\"}\n",
    "{\"x\", null}",
    "{\"x\"::\"b\"}",
    "{\"a\":\"a\" 123}",
    "{key: 'value'}",
    "{\"a\" b}",
    "{:\"b\"}",
    "{\"a\":}",
    "{\"a\"",
    "{1:1}",
    "{9999E9999:1}",
    "{null:null,null:null}",
    "{\"id\":0,,,,,}",
    "{'a':0}",
    "{\"id\":0,}",
    "{\"a\":\"b\"}/**/",
    "{\"a\":\"b\"}/**//",
    "{\"a\":\"b\"}//",
    "{\"a\":\"b\",,\"c\":\"d\"}",
    "{a: \"b\"}",
    "{\"a\":\"a",
    "{ \"foo\" : \"bar\", \"a\" }",
    "{\"a\":\"b\"}#",
    " ",
    "",
    "[\"\\uD800\\\"]",
    "[\"\\uD800\\u\"]",
    "[\"\\uD800\\u1\"]",
    "[\"\\uD800\\u1x\"]",
    "[\xc3\xa9]",
    "[\"\\x00\"]",
    "[\"\\\\\\\"]",
    "[\"\\\t\"]",
    "[\"\\\xf0\x9f\x8c\x80\"]",
    "[\"\\\"]",
    "[\"\\u00A\"]",
    "[\"\\uD834\\uDd\"]",
    "[\"\\uD800\\uD800\\x\"]",
    "[\"\\a\"]",
    "[\"\\uqqqq\"]",
    "[\\u0020\"asd\"]",
    "[\\n]",
    "\"",
    "['single quote']",
    "abc",
    "[\"\\",
    "[\"new\nline\"]",
    "[\"\t\"]",
    "\"\\UA66D\"",
    "\"\"x",
    "<.>",
    "[<null>]",
    "[1]x",
    "[1]]",
    "[\"asd]",
    "a\xc3\xa5",
    "[True]",
    "1]",
    "{\"x\": true,",
    "[][]",
    "]",
    "\xef\xbb\xbf{}",
    "\xe2\x81\xa0",
    "[",
    "{",
    "{]",
    "[}",
    "[\"a",
    "{\"",
    "[,",
    "[{",
    "[\"\\{[\"\\{[\"\\{[\"\\{",
    "*",
    "{\"a\":\"b\"}#{}",
    "[\\u000A\"\"]",
    "[1",
    "[ false, nul",
    "[ true, fals",
    "[ false, tru",
    "{\"asd\":\"asd\"",
    "[\f]",
    "nulll",
    "truefalse",
    "-",
    "1.",
    "1e",
    "01",
    "--1",
    "1-1",
    "{\"a\":1]",
    "[1}",
    "\xff",
};

static void test_grammar(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good_texts) / sizeof(*good_texts); i++) {
        expect(span_str(good_texts[i]), true);
    }
    for (size_t i = 0; i < sizeof(bad_texts) / sizeof(*bad_texts); i++) {
        expect(span_str(bad_texts[i]), false);
    }
    expect(SPAN("\0"), false);
    expect(SPAN("[\"a\0a\"]"), false);
    expect(SPAN("[1\0]"), false);
    expect(SPAN("[\"\\\0\"]"), false);
    expect(SPAN("tru\0"), false);
}

static void test_depth(void **state)
{
    (void)state;
    char text[2 * JSON_SCAN_DEPTH + 3];
    for (size_t depth = JSON_SCAN_DEPTH - 1; depth <= JSON_SCAN_DEPTH + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        expect(span_of(text, 2 * depth), depth <= JSON_SCAN_DEPTH);
    }
    struct buf mixed = {0};
    for (int i = 0; i < JSON_SCAN_DEPTH / 2; i++) {
        buf_append(&mixed, SPAN("[{\"a\":"));
    }
    size_t opened = mixed.len;
    buf_append(&mixed, SPAN("1"));
    for (int i = 0; i < JSON_SCAN_DEPTH / 2; i++) {
        buf_append(&mixed, SPAN("}]"));
    }
    assert_true(accepts(buf_span(&mixed), 1));
    mixed.ptr[mixed.len - 1] = '}'; /* the outermost bracket of the wrong kind */
    assert_false(accepts(buf_span(&mixed), mixed.len));
    mixed.ptr[opened] = '[';
    assert_false(accepts(buf_span(&mixed), 7));
    buf_free(&mixed);
}

static void test_where_a_value_ends(void **state)
{
    (void)state;
    struct json_scan scan;
    size_t used;
    json_scan_init(&scan);
    assert_true(json_scan_idle(&scan));
    assert_int_equal(json_scan_feed(&scan, SPAN(" \n"), &used), 0);
    assert_true(json_scan_idle(&scan));
    assert_int_equal(json_scan_feed(&scan, SPAN(" {\"a\":\"}\"}{\"b\":1}"), &used), 1);
    assert_int_equal(used, 10);
    assert_false(json_scan_idle(&scan));
    assert_int_equal(json_scan_feed(&scan, SPAN("{}"), &used), 1); /* until it is set back */
    assert_int_equal(used, 0);
    json_scan_init(&scan);
    assert_int_equal(json_scan_feed(&scan, SPAN("12"), &used), 0);
    assert_true(json_scan_end(&scan));
    assert_int_equal(json_scan_feed(&scan, SPAN("3 4"), &used), 1);
    assert_int_equal(used, 1);
    json_scan_init(&scan);
    assert_int_equal(json_scan_feed(&scan, SPAN("-"), &used), 0);
    assert_false(json_scan_end(&scan));
    assert_int_equal(json_scan_feed(&scan, SPAN("\"a\""), &used), -1);
}

/* What json_fields says of a text that comes in two pieces, and lies elsewhere each time. */
static int fields_in_pieces(struct span text, size_t first, struct json_field *field)
{
    struct json_coming *coming = NULL;
    struct json_field asked = {.name = field->name};
    char *before = mem_dup(span_of(text.ptr, first));
    json_coming_feed(&coming, &asked, 1, span_of(before, first));
    free(before);
    int rc = json_coming_end(&coming, &asked, 1, text, field);
    assert_null(coming);
    return rc;
}

static void expect_field(const char *text, const char *name, enum json_kind kind, const char *raw)
{
    struct json_field field = {.name = name};
    assert_int_equal(json_fields(span_str(text), &field, 1), 0);
    assert_int_equal(field.kind, kind);
    assert_true(span_eq(field.raw, span_str(raw)));
    struct json_coming *none = NULL;
    const struct json_field asked = {.name = name};
    struct json_field at_once = {.name = "another"};
    assert_int_equal(json_coming_end(&none, &asked, 1, span_str(text), &at_once), 0);
    assert_int_equal(at_once.kind, kind);
    assert_ptr_equal(at_once.raw.ptr, field.raw.ptr);
    for (size_t first = 0; first <= strlen(text); first++) {
        struct json_field again = {.name = name};
        assert_int_equal(fields_in_pieces(span_str(text), first, &again), 0);
        assert_int_equal(again.kind, kind);
        assert_ptr_equal(again.raw.ptr, field.raw.ptr);
        assert_int_equal(again.raw.len, field.raw.len);
    }
}

static void test_fields(void **state)
{
    (void)state;
    static const char text[] =
        " { \"type\" : \"Push\" ,\"n\":-1.5e3,\"t\":true,\"f\":false,\"z\":null,"
        "\"data\": {\"type\": [1, {\"type\": 2}], \"x\": \"}\"} , \"list\":[ ],"
        "\"last\":7} ";
    expect_field(text, "type", JSON_KIND_STRING, "\"Push\"");
    expect_field(text, "n", JSON_KIND_NUMBER, "-1.5e3");
    expect_field(text, "t", JSON_KIND_TRUE, "true");
    expect_field(text, "f", JSON_KIND_FALSE, "false");
    expect_field(text, "z", JSON_KIND_NULL, "null");
    expect_field(text, "data", JSON_KIND_OBJECT, "{\"type\": [1, {\"type\": 2}], \"x\": \"}\"}");
    expect_field(text, "list", JSON_KIND_ARRAY, "[ ]");
    expect_field(text, "last", JSON_KIND_NUMBER, "7");
    expect_field(text, "x", JSON_KIND_ABSENT, NULL);
    expect_field("{}", "a", JSON_KIND_ABSENT, NULL);
    expect_field("{\"a\":[[]]}", "a", JSON_KIND_ARRAY, "[[]]");
    expect_field("{\"a\":{\"a\":{}}}", "a", JSON_KIND_OBJECT, "{\"a\":{}}");
    expect_field("{\"a\":1,\"a\":\"x\"}", "a", JSON_KIND_STRING, "\"x\""); /* the last counts */
    expect_field("{\"a\":1,\"b\":2,\"a\":null}", "a", JSON_KIND_NULL, "null");
    expect_field("{\"\\u0074y\\u0070e\":1}", "type", JSON_KIND_NUMBER, "1");
    expect_field("{\"a\\/\\n\":1}", "a/\n", JSON_KIND_NUMBER, "1");
    expect_field("{\"\\ud83d\\ude00\":1}", "\xf0\x9f\x98\x80", JSON_KIND_NUMBER, "1");
    expect_field("{\"typ\":1,\"types\":2}", "type", JSON_KIND_ABSENT, NULL);
    expect_field("{\"type\\u0000\":1}", "type", JSON_KIND_ABSENT, NULL);
    expect_field("{\"\":1}", "", JSON_KIND_NUMBER, "1");
}

static void test_fields_of_what_is_no_object(void **state)
{
    (void)state;
    static const char *const bad[] = {"",           " ",        "[]",         "1",          "\"a\"",
                                      "{",          "{\"a\":1", "{\"a\":1}}", "{\"a\":1}x", "{} {}",
                                      "{\"a\":01}", "{a:1}",    "{\"a\":1,}", "null",       "x{}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct json_field field = {.name = "a"};
        assert_int_equal(json_fields(span_str(bad[i]), &field, 1), -1);
        for (size_t first = 0; first <= strlen(bad[i]); first++) {
            assert_int_equal(fields_in_pieces(span_str(bad[i]), first, &field), -1);
        }
    }
    assert_int_equal(json_fields(span_of(NULL, 0), NULL, 0), -1);
    assert_int_equal(json_fields(SPAN("{\"a\":1}\0"), NULL, 0), -1);
}

static void expect_unquoted(const char *raw, struct span text)
{
    struct buf out = {0};
    json_unquote(span_str(raw), &out);
    assert_true(span_eq(buf_span(&out), text));
    buf_free(&out);
}

static void test_unquote(void **state)
{
    (void)state;
    expect_unquoted("\"\"", SPAN(""));
    expect_unquoted("\"abc\"", SPAN("abc"));
    expect_unquoted("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", SPAN("\"\\/\b\f\n\r\t"));
    expect_unquoted("\"a\\u0000b\"", SPAN("a\0b"));
    expect_unquoted("\"\\u00e9\\u20AC\"", SPAN("\xc3\xa9\xe2\x82\xac"));
    expect_unquoted("\"\\uD83D\\uDE00!\"", SPAN("\xf0\x9f\x98\x80!"));
    expect_unquoted("\"\\uD83D\"", SPAN("\xef\xbf\xbd"));
    expect_unquoted("\"\\uDE00\\uD83D\"", SPAN("\xef\xbf\xbd\xef\xbf\xbd"));
    expect_unquoted("\"\\uD83D\\u0041\"", SPAN("\xef\xbf\xbd"
                                               "A"));
    expect_unquoted("\"\\uD83D\\n\"", SPAN("\xef\xbf\xbd\n"));
}

static void expect_quoted(struct span text, const char *want)
{
    struct buf out = {0};
    json_quote(text, &out);
    assert_string_equal(buf_text(&out), want);
    buf_free(&out);
}

static void test_quote(void **state)
{
    (void)state;
    expect_quoted(SPAN(""), "\"\"");
    expect_quoted(SPAN("a\"b\\c/"), "\"a\\\"b\\\\c/\"");
    expect_quoted(SPAN("\b\f\n\r\t\x01\x1f\0"), "\"\\b\\f\\n\\r\\t\\u0001\\u001f\\u0000\"");
    expect_quoted(SPAN("\x7f\xc3\xa9\xf0\x9f\x98\x80"), "\"\x7f\xc3\xa9\xf0\x9f\x98\x80\"");
    expect_quoted(SPAN("a\xff"
                       "b\xc3"),
                  "\"a\xef\xbf\xbd"
                  "b\xef\xbf\xbd\"");
    expect_quoted(SPAN("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void expect_cut(struct span text, size_t most, const char *want)
{
    struct buf out = {0};
    json_quote_cut(text, most, &out);
    assert_string_equal(buf_text(&out), want);
    buf_free(&out);
}

static void test_quote_cut(void **state)
{
    (void)state;
    expect_cut(SPAN(""), 3, "\"\"");
    expect_cut(SPAN("abc"), 3, "\"abc\"");
    expect_cut(SPAN("abcd"), 3, "\"abc\xe2\x80\xa6\"");
    expect_cut(SPAN("ab\xc3\xa9"), 3, "\"ab\xe2\x80\xa6\"");
    expect_cut(SPAN("\xf0\x9f\x98\x80"), 3, "\"\xe2\x80\xa6\"");
    expect_cut(SPAN("\"\n\"\n"), 3, "\"\\\"\\n\\\"\xe2\x80\xa6\"");
    expect_cut(SPAN("\xff\xff\xff\xff"), 2, "\"\xef\xbf\xbd\xef\xbf\xbd\xe2\x80\xa6\"");
    expect_cut(SPAN("\x80\x80\x80\x80"), 2, "\"\xe2\x80\xa6\"");
}

static void expect_unquote_cut(const char *raw, size_t most, const char *meaning)
{
    struct buf out = {0};
    json_unquote_cut(span_str(raw), most, &out);
    assert_string_equal(buf_text(&out), meaning);
    buf_free(&out);
}

static void test_unquote_cut(void **state)
{
    (void)state;
    expect_unquote_cut("\"abcdef\"", 3, "abc");
    expect_unquote_cut("\"abc\"", 3, "abc");
    expect_unquote_cut("\"\\u0041\\u0042\\u0043\"", 2, "AB");
    expect_unquote_cut("\"a\\u00e4b\"", 2, "a\xc3\xa4"); /* a whole character */
    expect_unquote_cut("\"a\xc3\xa4z\"", 2, "a\xc3\xa4");
    expect_unquote_cut("\"abc\"", 0, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_grammar),
                                       cmocka_unit_test(test_depth),
                                       cmocka_unit_test(test_where_a_value_ends),
                                       cmocka_unit_test(test_fields),
                                       cmocka_unit_test(test_fields_of_what_is_no_object),
                                       cmocka_unit_test(test_unquote),
                                       cmocka_unit_test(test_unquote_cut),
                                       cmocka_unit_test(test_quote),
                                       cmocka_unit_test(test_quote_cut)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
