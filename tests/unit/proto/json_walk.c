/* SPDX-License-Identifier: MIT */
#include "node/proto/json/walk.h"
#include "tests/unit/cmocka_all.h"

static void members_come_in_order(void **state)
{
    struct span rest =
        json_inside(SPAN(" { \"a\" : 1 , \"\":[{\"b\":\"]}\\\"\"},2],\"\\u0063\":null }\n"));
    struct json_member member;
    (void)state;
    assert_true(json_next_member(&rest, &member));
    assert_true(json_name_is(member.name, "a"));
    assert_true(span_eq(member.raw, SPAN("1")));
    assert_int_equal(member.kind, JSON_KIND_NUMBER);
    assert_true(json_next_member(&rest, &member));
    assert_true(json_name_is(member.name, ""));
    assert_true(span_eq(member.raw, SPAN("[{\"b\":\"]}\\\"\"},2]")));
    assert_true(json_next_member(&rest, &member));
    assert_true(json_name_is(member.name, "c"));
    assert_int_equal(member.kind, JSON_KIND_NULL);
    assert_false(json_next_member(&rest, &member));
}

static void elements_come_in_order(void **state)
{
    struct span rest = json_inside(SPAN("[[1,2] , {\"a\":[]},\"x,]\", true,-1e5]")), raw;
    static const char *const wanted[] = {"[1,2]", "{\"a\":[]}", "\"x,]\"", "true", "-1e5"};
    (void)state;
    for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
        assert_true(json_next_element(&rest, &raw));
        assert_true(span_eq(raw, span_str(wanted[i])));
    }
    assert_false(json_next_element(&rest, &raw));
}

static void nothing_inside_gives_nothing(void **state)
{
    struct span rest = json_inside(SPAN("[ ]")), raw;
    struct json_member member;
    (void)state;
    assert_false(json_next_element(&rest, &raw));
    rest = json_inside(SPAN("{}"));
    assert_false(json_next_member(&rest, &member));
}

static void valid_is_exactly_one_value(void **state)
{
    size_t at;
    (void)state;
    assert_true(json_valid(SPAN(" {\"a\":[1]} \n"), &at));
    assert_true(json_valid(SPAN("7"), &at));
    assert_false(json_valid(SPAN(""), &at));
    assert_false(json_valid(SPAN("{} {}"), &at));
    assert_false(json_valid(SPAN("[1,]"), &at));
    assert_true(at < 4);
}

/* Text is passed over eight bytes at a time: whatever ends it is found at every place. */
static void text_ends_where_it_ends(void **state)
{
    static const char ends[] = {'"', '\\', '\n', '\x1f', '\0'};
    (void)state;
    for (size_t before = 0; before < 40; before++) {
        for (size_t end = 0; end < sizeof(ends); end++) {
            char text[64] = "\"";
            size_t at, len = 1;
            for (size_t i = 0; i < before; i++) {
                text[len++] = (char)(i % 3 == 0 ? 0x20 : i % 3 == 1 ? 0x7f : 0xc3 + (int)i);
            }
            text[len] = ends[end];
            memcpy(text + len + 1, "\\\",\"n\"", 7);
            bool closed = ends[end] == '"', escaped = ends[end] == '\\';
            struct span whole = span_of(text, len + (escaped ? 4 : 1)), rest = whole, raw;
            assert_int_equal(json_valid(whole, &at), closed);
            assert_int_equal(at, escaped ? len + 3 : closed ? len + 1 : len);
            if (closed) {
                assert_true(json_next_element(&rest, &raw));
                assert_int_equal(raw.len, len + 1);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_come_in_order),
        cmocka_unit_test(elements_come_in_order),
        cmocka_unit_test(nothing_inside_gives_nothing),
        cmocka_unit_test(valid_is_exactly_one_value),
        cmocka_unit_test(text_ends_where_it_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
