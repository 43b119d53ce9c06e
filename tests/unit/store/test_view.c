/* SPDX-License-Identifier: MIT */
#include "store/roster/note.h"
#include "store/roster/view.h"
#include "tests.h"

static struct buf said;

static void on_event(void *arg, enum roster_event event, const struct roster_member *member)
{
    (void)arg;
    buf_printf(&said, "%s%c%.*s=%.*s", said.len > 0 ? " " : "", event == ROSTER_SET ? '+' : '-',
               SPAN_ARG(member->name), SPAN_ARG(member->value));
}

/* What was said since the last call is exactly `expected`. */
static void heard(const char *expected)
{
    assert_string_equal(buf_text(&said), expected);
    buf_free(&said);
}

/* Entries are written "+a=1 -b". */
static void make(struct buf *out, uint64_t birth, uint64_t previous, uint64_t version,
                 const char *entries)
{
    struct span rest = span_str(entries), copy = rest;
    long count = 0;
    while (copy.len > 0) {
        span_cut(&copy, ' ');
        count++;
    }
    roster_note_head(out, birth, previous, version, count);
    while (rest.len > 0) {
        struct span value = span_cut(&rest, ' ');
        struct span name = span_cut(&value, '=');
        struct roster_entry entry = {span_skip(name, 1), value, name.ptr[0] == '-', 0};
        roster_note_entry(out, &entry);
    }
}

static enum view_outcome change(struct roster_view *view, uint64_t birth, uint64_t previous,
                                uint64_t version, const char *entries)
{
    struct buf text = {0};
    struct roster_note note;
    make(&text, birth, previous, version, entries);
    assert_int_equal(roster_note_read(buf_span(&text), &note), 0);
    enum view_outcome outcome = roster_view_change(view, &note, on_event, NULL);
    buf_free(&text);
    return outcome;
}

static enum view_outcome snapshot(struct roster_view *view, uint64_t birth, uint64_t version,
                                  uint64_t hold_until, const char *entries)
{
    struct buf text = {0};
    struct roster_note note;
    make(&text, birth, 0, version, entries);
    assert_int_equal(roster_note_read(buf_span(&text), &note), 0);
    enum view_outcome outcome = roster_view_snapshot(view, &note, hold_until, on_event, NULL);
    buf_free(&text);
    return outcome;
}

static void changes_follow_a_snapshot(void **state)
{
    struct roster_view view;
    (void)state;
    roster_view_init(&view, NULL);
    assert_int_equal(change(&view, 9, 0, 1, "+a=1"), VIEW_MISSED);
    assert_int_equal(snapshot(&view, 9, 5, 0, "+a=1 +b=2"), VIEW_CHANGED);
    heard("+a=1 +b=2");
    assert_int_equal(change(&view, 9, 4, 5, "+z=1"), VIEW_SAME); /* older than the snapshot */
    assert_int_equal(change(&view, 9, 5, 6, "+b=3 -a +c=4"), VIEW_CHANGED);
    heard("+b=3 -a=1 +c=4");
    assert_int_equal(change(&view, 9, 7, 8, "+x=1"), VIEW_MISSED);
    heard("");
    assert_true(roster_view_reached(&view, 9, 6));
    assert_false(roster_view_reached(&view, 9, 7));
    assert_int_equal(snapshot(&view, 9, 8, 0, "+x=1 +c=4"), VIEW_CHANGED);
    heard("+x=1 -b=3");
    assert_int_equal(snapshot(&view, 9, 7, 0, "+b=1"), VIEW_SAME); /* a late answer */
    heard("");
    assert_int_equal(view.members.count, 2);
    roster_view_reset(&view);
}

static void a_lost_server_is_bridged(void **state)
{
    struct roster_view view;
    struct span value;
    (void)state;
    roster_view_init(&view, NULL);
    snapshot(&view, 9, 5, 0, "+a=1 +b=2 +c=3");
    heard("+a=1 +b=2 +c=3");
    assert_int_equal(change(&view, 20, 0, 1, "+b=2"), VIEW_MISSED); /* members left: read it */
    assert_int_equal(snapshot(&view, 20, 1, 100, "+b=2"), VIEW_SAME);
    heard("");
    assert_int_equal(view.members.count, 3);
    assert_int_equal(view.held_count, 2);
    assert_int_equal(change(&view, 20, 1, 2, "+a=1"), VIEW_SAME);
    heard("");
    assert_int_equal(roster_view_expire(&view, 99, on_event, NULL), VIEW_SAME);
    assert_true(roster_view_find(&view, SPAN("c"), &value));
    assert_int_equal(roster_view_expire(&view, 100, on_event, NULL), VIEW_CHANGED);
    heard("-c=3");
    assert_int_equal(view.held_count, 0);
    roster_view_reset(&view);
}

static void a_held_member_can_go_change_and_be_held_again(void **state)
{
    struct roster_view view;
    (void)state;
    roster_view_init(&view, NULL);
    snapshot(&view, 9, 5, 0, "+a=1 +b=2 +c=3");
    snapshot(&view, 0, 0, 100, "");
    heard("+a=1 +b=2 +c=3");
    assert_int_equal(view.held_count, 3);
    assert_true(roster_view_reached(&view, 0, 0));
    assert_int_equal(change(&view, 20, 0, 1, "+a=9"), VIEW_CHANGED); /* continues an empty key */
    heard("+a=9");
    assert_int_equal(change(&view, 20, 1, 2, "-b"), VIEW_CHANGED);
    heard("-b=2");
    assert_int_equal(snapshot(&view, 20, 3, 0, "+a=9 +d=1"), VIEW_CHANGED); /* c is still held */
    heard("+d=1");
    snapshot(&view, 30, 1, 200, "+d=1");
    assert_int_equal(view.held_count, 2);
    assert_int_equal(roster_view_expire(&view, 150, on_event, NULL), VIEW_SAME);
    roster_view_rehold(&view, 300);
    assert_int_equal(roster_view_expire(&view, 250, on_event, NULL), VIEW_SAME);
    assert_int_equal(roster_view_expire(&view, 300, on_event, NULL), VIEW_CHANGED);
    buf_free(&said);
    assert_int_equal(view.members.count, 1);
    roster_view_reset(&view);
}

static void a_key_that_went_begins_anew(void **state)
{
    struct roster_view view;
    (void)state;
    roster_view_init(&view, NULL);
    snapshot(&view, 9, 5, 0, "+a=1");
    change(&view, 9, 5, 6, "-a");
    heard("+a=1 -a=1");
    assert_int_equal(change(&view, 20, 1, 2, "+b=1"), VIEW_MISSED);
    assert_int_equal(change(&view, 20, 0, 1, "+a=2"), VIEW_CHANGED);
    assert_int_equal(change(&view, 9, 6, 7, "+z=2"), VIEW_MISSED);
    heard("+a=2");
    roster_view_reset(&view);
}

/* A fail-over to a replica that had not got the last writes: same birth, an older version. */
static void a_server_that_went_back_is_followed(void **state)
{
    struct roster_view view;
    (void)state;
    roster_view_init(&view, NULL);
    assert_int_equal(snapshot(&view, 9, 7, 0, "+a=1 +b=2 +c=3"), VIEW_CHANGED);
    heard("+a=1 +b=2 +c=3");
    assert_int_equal(snapshot(&view, 9, 6, 0, "+a=1"), VIEW_SAME); /* only late: no link was lost */
    roster_view_doubt(&view, false);
    assert_int_equal(change(&view, 9, 7, 8, "-a"), VIEW_SAME);
    assert_int_equal(snapshot(&view, 9, 5, 100, "+a=1 +b=4"), VIEW_CHANGED);
    heard("+b=4"); /* c is held */
    assert_true(roster_view_reached(&view, 9, 5));
    assert_int_equal(change(&view, 9, 5, 6, "+c=3"), VIEW_SAME);
    assert_int_equal(roster_view_expire(&view, 200, on_event, NULL), VIEW_SAME);
    heard("");
    roster_view_reset(&view);
}

/* The other server went on by itself: as many versions, but not the same ones. */
static void another_server_with_a_newer_version(void **state)
{
    struct roster_view view;
    (void)state;
    roster_view_init(&view, NULL);
    assert_int_equal(snapshot(&view, 9, 7, 0, "+a=1 +b=2"), VIEW_CHANGED);
    heard("+a=1 +b=2");
    roster_view_doubt(&view, true);
    roster_view_doubt(&view, false);
    assert_int_equal(snapshot(&view, 9, 8, 100, "+a=1"), VIEW_SAME);
    assert_int_equal(roster_view_expire(&view, 99, on_event, NULL), VIEW_SAME);
    assert_int_equal(roster_view_expire(&view, 100, on_event, NULL), VIEW_CHANGED);
    heard("-b=2");
    roster_view_doubt(&view,
                      false); /* the same server after a lost link: what is not there has gone */
    assert_int_equal(snapshot(&view, 9, 9, 100, ""), VIEW_CHANGED);
    heard("-a=1");
    roster_view_reset(&view);
}

static void broken_notes_are_refused(void **state)
{
    static const char *const broken[] = {"",
                                         "1",
                                         "1 1 2 3",
                                         "1 1 2 3 -1",
                                         "1 1 2 3 -1\nx",
                                         "1 x 2 3 0\n",
                                         "1 1 2 3 1\n",
                                         "1 1 2 3 0\nx",
                                         "1 1 2 3 1\n+1 1 0",
                                         "1 1 2 3 1\n+1 1 0\na",
                                         "1 1 2 3 1\n*1 1 0\nab",
                                         "1 1 2 3 1\n+1 1\nab",
                                         "1 1 2 3 2\n+1 1 0\nab",
                                         "1 1 2 3 1\n+9999999999999999999 1 0\nab",
                                         "1 1 2 3 1\n+1 18446744073709551615 0\nab",
                                         "1 99999999999999999999 2 3 0\n",
                                         "2 1 2 3 -1\n",
                                         "1 2 3 -1\n"};
    struct roster_note note;
    (void)state;
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        if (roster_note_read(span_str(broken[i]), &note) == 0) {
            fail_msg("read: %s", broken[i]);
        }
    }
    assert_int_equal(roster_note_read(SPAN("1 1 2 3 -1\n"), &note), 0);
    assert_false(note.listed);
    assert_int_equal(roster_note_read(SPAN("1 1 2 3 1\n+1 1 7\nab"), &note), 0);
    assert_true(note.listed);
    assert_int_equal(roster_note_read(SPAN("1 1 2 3 -1 of a later version\n"), &note), 0);
    assert_false(note.listed);
}

int test_view(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_follow_a_snapshot),
        cmocka_unit_test(a_lost_server_is_bridged),
        cmocka_unit_test(a_held_member_can_go_change_and_be_held_again),
        cmocka_unit_test(a_key_that_went_begins_anew),
        cmocka_unit_test(a_server_that_went_back_is_followed),
        cmocka_unit_test(another_server_with_a_newer_version),
        cmocka_unit_test(broken_notes_are_refused),
    };
    return cmocka_run_group_tests_name("view", tests, NULL, NULL);
}
