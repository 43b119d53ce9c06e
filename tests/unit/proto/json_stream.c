/* SPDX-License-Identifier: MIT */
#include "node/proto/json/stream.h"

#include "store/base/mem.h"
#include "tests/unit/cmocka_all.h"

enum { LIMIT = 64 };

/* Gathers the objects of `text`, given in pieces of `piece` bytes, as "[object]" each. Returns the
 * last answer. */
static int gather(struct span text, size_t piece, size_t limit, struct buf *out)
{
    struct json_stream stream;
    int rc = 0;
    json_stream_init(&stream, limit);
    while (text.len > 0 && rc >= 0) {
        size_t len = text.len < piece ? text.len : piece;
        char *copy = mem_alloc(len); /* exactly as long: overruns show */
        memcpy(copy, text.ptr, len);
        struct span bytes = span_of(copy, len), object;
        text = span_skip(text, len);
        while (bytes.len > 0 && (rc = json_stream_next(&stream, &bytes, &object)) > 0) {
            buf_printf(out, "[%.*s]", SPAN_ARG(object));
        }
        free(copy);
    }
    json_stream_deinit(&stream);
    return rc;
}

/* The same objects, however the stream is cut. */
static void expect(struct span text, const char *objects, int last)
{
    for (size_t piece = 1; piece <= text.len; piece++) {
        struct buf out = {0};
        assert_int_equal(gather(text, piece, LIMIT, &out), last);
        assert_string_equal(buf_text(&out), objects);
        buf_free(&out);
    }
}

static void objects_behind_each_other(void **state)
{
    (void)state;
    expect(SPAN("{}"), "[{}]", 1);
    expect(SPAN("{\"a\":1}{\"b\":[{}]}{\"c\":\"}{\\\"\"}"),
           "[{\"a\":1}][{\"b\":[{}]}][{\"c\":\"}{\\\"\"}]", 1);
    expect(SPAN(" \r\n{\"a\" : 1}\n\t{ }"), "[{\"a\" : 1}][{ }]", 1);
    expect(SPAN("{\"a\":\"\xc3\xa4\xe2\x82\xac\"}{"), "[{\"a\":\"\xc3\xa4\xe2\x82\xac\"}]", 0);
}

static void what_is_no_object_ends_it(void **state)
{
    (void)state;
    expect(SPAN("{}[]"), "[{}]", JSON_STREAM_MALFORMED);
    expect(SPAN("{},{}"), "[{}]", JSON_STREAM_MALFORMED);
    expect(SPAN("1"), "", JSON_STREAM_MALFORMED);
    expect(SPAN("{\"a\":1,}"), "", JSON_STREAM_MALFORMED);
    expect(SPAN("{\"a\":\"\xff\"}"), "", JSON_STREAM_MALFORMED);
    expect(SPAN("{\"a\":\"\xc3\"}"), "", JSON_STREAM_MALFORMED);
    expect(SPAN("\xef\xbb\xbf{}"), "", JSON_STREAM_MALFORMED);
    expect(SPAN("\0"), "", JSON_STREAM_MALFORMED);
}

static void an_object_of_the_limit_passes_and_no_longer_one(void **state)
{
    (void)state;
    char text[LIMIT + 2];
    memset(text, ' ', sizeof(text));
    text[0] = '{';
    text[LIMIT - 1] = '}';
    for (size_t piece = 1; piece <= LIMIT; piece++) {
        struct buf out = {0};
        assert_int_equal(gather(span_of(text, LIMIT), piece, LIMIT, &out), 1);
        assert_int_equal(gather(span_of(text, LIMIT), piece, LIMIT - 1, &out),
                         JSON_STREAM_TOO_LONG);
        buf_free(&out);
    }
    memset(text, ' ', sizeof(text)); /* space between objects is no object */
    struct buf out = {0};
    assert_int_equal(gather(span_of(text, sizeof(text)), 7, 2, &out), 0);
    buf_free(&out);
}

static struct span nested(char *text, size_t depth)
{
    struct span open = SPAN("{\"a\":");
    for (size_t i = 0; i < depth; i++) {
        memcpy(text + i * open.len, open.ptr, open.len);
    }
    text[depth * open.len] = '0';
    memset(text + depth * open.len + 1, '}', depth);
    return span_of(text, depth * (open.len + 1) + 1);
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    char text[(JSON_SCAN_DEPTH + 1) * 6 + 1];
    struct buf out = {0};
    assert_int_equal(gather(nested(text, JSON_SCAN_DEPTH), 9, sizeof(text), &out), 1);
    assert_int_equal(gather(nested(text, JSON_SCAN_DEPTH + 1), 9, sizeof(text), &out),
                     JSON_STREAM_MALFORMED);
    buf_free(&out);
}

/* A long object in small pieces costs what it costs in one: no byte is scanned twice. Checked by
 * size alone, since a quadratic one would take minutes here. */
static void many_pieces_are_cheap(void **state)
{
    (void)state;
    enum { LONG = 4 * 1024 * 1024 };
    char *text = mem_alloc(LONG);
    struct buf out = {0};
    memset(text, 'x', LONG);
    memcpy(text, "{\"a\":\"", 6);
    memcpy(text + LONG - 2, "\"}", 2);
    assert_int_equal(gather(span_of(text, LONG), 3, LONG, &out), 1);
    assert_int_equal(out.len, LONG + 2);
    buf_free(&out);
    free(text);
}

static void expect_set(const char *text, const char *wanted)
{
    struct buf out = {0};
    assert_int_equal(json_set(span_str(text), "id", SPAN("7"), &out), wanted != NULL ? 0 : -1);
    if (wanted != NULL) {
        assert_string_equal(buf_text(&out), wanted);
    }
    buf_free(&out);
}

static void setting_a_member(void **state)
{
    (void)state;
    expect_set("{}", "{\"id\":7}");
    expect_set(" { } ", "{\"id\":7}");
    expect_set("{\"a\":1}", "{\"id\":7,\"a\":1}");
    expect_set("{\"id\":1,\"a\":{\"id\":2},\"\\u0069d\":[3],\"b\" : \"id\" , \"id\":{}}",
               "{\"id\":7,\"a\":{\"id\":2},\"b\" : \"id\"}");
    expect_set("{\"idx\":1,\"i\":2,\"\":3}", "{\"id\":7,\"idx\":1,\"i\":2,\"\":3}");
    expect_set("{\"a\":1e400,\"b\":\"\\ud800\"}", "{\"id\":7,\"a\":1e400,\"b\":\"\\ud800\"}");
    expect_set("[]", NULL);
    expect_set("{\"a\":1", NULL);
    expect_set("{\"a\":1}}", NULL);
    expect_set("", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_behind_each_other),
        cmocka_unit_test(what_is_no_object_ends_it),
        cmocka_unit_test(an_object_of_the_limit_passes_and_no_longer_one),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(many_pieces_are_cheap),
        cmocka_unit_test(setting_a_member),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
