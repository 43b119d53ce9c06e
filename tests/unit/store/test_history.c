/* SPDX-License-Identifier: MIT */
/* The contract of history.h, the same for every backend. */
#include "reader.h"
#include "store/history/note.h"
#include "tests.h"

#include <stdio.h>
#include <string.h>

static void everybody_sees_one_order(void **state)
{
    enum { MANY = 1500 };
    struct reader r[3] = {0};
    struct outcome outcome = {0};
    (void)state;
    lab_nodes(3);
    for (int i = 0; i < 3; i++) {
        reader_start(&r[i], i);
    }
    WAIT(r[0].currents == 1 && r[1].currents == 1 && r[2].currents == 1);
    for (int i = 0; i < MANY; i += 50) {
        append_numbers(0, i, i + 50, 100, &outcome);
        append_numbers(1, i, i + 50, 100, &outcome);
        lab_turn();
    }
    WAIT(r[0].entries == 2 * MANY && r[1].entries == 2 * MANY && r[2].entries == 2 * MANY);
    WAIT(outcome.done == 2 * MANY);
    assert_int_equal(outcome.last_tag, 7);
    for (int i = 0; i < 3; i++) {
        assert_false(r[i].fell);
        assert_string_equal(buf_text(&r[i].log), buf_text(&r[0].log));
    }
    for (int i = 0; i < 3; i++) {
        reader_stop(&r[i]);
    }
}

static void the_cap_holds_at_its_edges(void **state)
{
    struct outcome outcome = {0};
    (void)state;
    lab_nodes(2);
    WAIT(lab.links_up[0] > 0 && lab.links_up[1] > 0);
    reads(0, 0, 10, "");
    append_numbers(0, 0, 4, 5, &outcome);
    reads(0, 0, 10, "n0.3 n0.2 n0.1 n0.0"); /* at once: behind the own appends */
    append_numbers(0, 4, 5, 5, &outcome);
    reads(0, 0, 10, "n0.4 n0.3 n0.2 n0.1 n0.0");
    append_numbers(0, 5, 6, 5, &outcome);
    reads(0, 0, 10, "n0.5 n0.4 n0.3 n0.2 n0.1");
    reads(1, 0, 2, "n0.5 n0.4");
    reads(1, 1, 2, "n0.4 n0.3");
    reads(1, 4, 2, "n0.1");
    reads(1, 5, 2, "");
    reads(1, 4000000000U, 2, "");
    reads(1, 0, 0, "");
    append_numbers(1, 0, 1, 2, &outcome); /* a smaller cap cuts what is there */
    reads(0, 0, 10, "n1.0 n0.5");
    assert_int_equal(outcome.failed, 0);
}

static void a_watch_begins_now(void **state)
{
    struct reader r = {0}, late = {0};
    struct outcome outcome = {0};
    (void)state;
    lab_nodes(2);
    append(1, "before", 10, &outcome);
    WAIT(outcome.done == 1);
    reader_start(&r, 0);
    append(0, "own", 10, &outcome); /* at once: it is heard all the same */
    WAIT(r.entries == 1 && r.currents >= 1);
    reader_start(&late, 0);
    WAIT(late.currents == 1);
    append(1, "after", 10, &outcome);
    WAIT(r.entries == 2 && late.entries == 1);
    assert_non_null(strstr(buf_text(&r.log), "own"));
    assert_string_equal(buf_text(&late.log), "C after");
    reader_stop(&r);
    append(1, "more", 10, &outcome);
    WAIT(late.entries == 2);
    reader_stop(&late);
    lab_run(30);
    struct reader again = {0};
    reader_start(&again, 0);
    WAIT(again.currents == 1);
    append(1, "x", 10, &outcome);
    WAIT(again.entries == 1);
    assert_string_equal(buf_text(&again.log), "C x");
    reader_stop(&again);
}

static void a_watch_may_end_inside(void **state)
{
    struct reader r = {.end_inside = true};
    (void)state;
    lab_nodes(1);
    reader_start(&r, 0);
    WAIT(r.currents == 1);
    assert_null(r.watch);
    struct outcome outcome = {0};
    append(0, "x", 5, &outcome);
    WAIT(outcome.done == 1);
    lab_run(30);
    assert_int_equal(r.entries, 0);
    buf_free(&r.log);
}

static void values_are_any_bytes(void **state)
{
    static const char bytes[] = " \0\r\n1 2 3\n\xff";
    struct reader r = {0};
    struct outcome outcome = {0};
    (void)state;
    lab_nodes(2);
    reader_start(&r, 1);
    WAIT(r.currents == 1);
    struct history_append call = {.key = SPAN("h"),
                                  .value = SPAN(bytes),
                                  .most = 5,
                                  .wait_ms = WAIT_MS,
                                  .fn = outcome_note,
                                  .arg = &outcome};
    assert_int_equal(history_append(lab.nodes[0], &call), 0);
    call.value = span_of(NULL, 0);
    assert_int_equal(history_append(lab.nodes[0], &call), 0);
    char *large = mem_zalloc(HISTORY_VALUE_MOST + 1);
    memset(large, 'y', HISTORY_VALUE_MOST + 1);
    call.value = span_of(large, HISTORY_VALUE_MOST + 1);
    assert_int_equal(history_append(lab.nodes[0], &call), -1);
    call.value.len--;
    assert_int_equal(history_append(lab.nodes[0], &call), 0);
    WAIT(r.entries == 3);
    assert_int_equal(r.log.len, 2 + sizeof(bytes) - 1 + 1 + 1 + HISTORY_VALUE_MOST);
    assert_memory_equal(r.log.ptr + 2, bytes, sizeof(bytes) - 1);
    free(large);
    reader_stop(&r);
}

static void the_queue_is_bounded(void **state)
{
    struct outcome outcome = {0};
    int taken = 0;
    (void)state;
    lab_nodes(1);
    while (append_for(0, "x", 5, WAIT_MS, &outcome) == 0) {
        taken++;
        assert_true(taken < 100000);
    }
    WAIT(outcome.done == taken);
    assert_int_equal(append_for(0, "x", 5, WAIT_MS, &outcome), 0);
    WAIT(outcome.done == taken + 1);
}

static void notes_are_checked(void **state)
{
    static const char *const broken[] = {
        "",
        "1 1 t 0 2 x 0\n",
        "1 1 t 0 2 1 0\n",
        "1 1 t 0 2 1 0\n1 1 1 1\na",
        "1 1 t 0 2 0 0",
        "1 1 t 0 2 0\n",
        "1 1 t 0 2 0 0\nx",
        "1 1 t 0 2 1 0\n1 1 9 9\nab",
        "1 1 t 0 2 1 0\n1 1 1 99999999999999999999\nab",
        "1 1 t 0 2 0 1\n5 9\nab",
        "1 1 t 0 2 0 1\n5\nab",
        "1 -1 t 0 2 0 0\n",
        "2 1 t 0 2 0 0\n",
    };
    struct history_note note;
    (void)state;
    assert_int_equal(
        history_note_read(SPAN("1 1 t 0 2 1 1 later\n2 3 1 2 later\nabc7 3\nxyz"), &note), 0);
    assert_true(span_eq(note.timeline, SPAN("t")));
    assert_true(span_eq(note.writers, SPAN("7 3\nxyz")));
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        assert_int_equal(history_note_read(span_str(broken[i]), &note), -1);
    }
}

int test_history(const char *name, CMFixtureFunction start)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(everybody_sees_one_order),  LAB_TEST(the_cap_holds_at_its_edges),
        LAB_TEST(a_watch_begins_now),        LAB_TEST(a_watch_may_end_inside),
        LAB_TEST(values_are_any_bytes),      LAB_TEST(the_queue_is_bounded),
        cmocka_unit_test(notes_are_checked),
    };
    char title[32];
    snprintf(title, sizeof(title), "history on %s", name);
    return _cmocka_run_group_tests(title, tests, sizeof(tests) / sizeof(tests[0]), start, lab_end);
}
