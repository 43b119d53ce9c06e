/* SPDX-License-Identifier: MIT */
/* What a beat's answer says, and whose lease is over by it. */
#include "store/roster/lease.h"
#include "store/roster/view.h"
#include "tests.h"

static struct roster_lease_news read_answer(struct roster_lease *lease, const char *answer)
{
    struct roster_lease_news news = {0};
    assert_int_equal(roster_lease_read(lease, span_str(answer), &news), 0);
    return news;
}

static void who_is_not_listed_is_over(void **state)
{
    struct roster_lease lease = {0};
    (void)state;
    assert_false(roster_lease_is_over(&lease, 10)); /* nothing is known yet */
    struct roster_lease_news news = read_answer(&lease, "1 7 3 20 12 1\n20\n12\n15\n");
    assert_true(news.renamed && news.listed && !news.reborn);
    assert_int_equal(lease.token, 12);
    assert_false(roster_lease_is_over(&lease, 12));
    assert_false(roster_lease_is_over(&lease, 20));
    assert_true(roster_lease_is_over(&lease, 13));
    assert_true(roster_lease_is_over(&lease, 1));
    assert_false(roster_lease_is_over(&lease, 21)); /* news: it came after this answer */
    assert_false(roster_lease_is_over(&lease, 0));  /* no lease at all */
    news = read_answer(&lease, "1 7 3 20 12 0\n");
    assert_true(!news.renamed && !news.listed && !news.reborn);
    assert_true(roster_lease_is_over(&lease, 13));
    lease.grace = true;
    assert_false(roster_lease_is_over(&lease, 13));
    roster_lease_deinit(&lease);
}

static void another_table_is_told_and_numbers_never_go_back(void **state)
{
    struct roster_lease lease = {0};
    (void)state;
    read_answer(&lease, "1 7 3 20 12 1\n20\n12\n");
    roster_lease_saw(&lease, 30);
    struct roster_lease_news news = read_answer(&lease, "1 8 1 5 5 1\n5\n");
    assert_true(news.renamed && news.listed && news.reborn);
    assert_int_equal(lease.floor, 30);
    roster_lease_deinit(&lease);
}

static void broken_answers_change_nothing(void **state)
{
    static const char *const broken[] = {"",
                                         "1 7 3 20 12",
                                         "1 7 3 20 12 1",
                                         "1 7 3 20 0 0\n",
                                         "1 7 3 20 12 1\nx\n",
                                         "1 7 3 20 12 1\n20"};
    struct roster_lease lease = {0};
    struct roster_lease_news news;
    (void)state;
    read_answer(&lease, "1 7 3 20 12 1\n12\n");
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        if (roster_lease_read(&lease, span_str(broken[i]), &news) == 0) {
            fail_msg("read: %s", broken[i]);
        }
    }
    assert_int_equal(lease.version, 3);
    assert_int_equal(lease.count, 1);
    roster_lease_deinit(&lease);
}

static void count_events(void *arg, enum roster_event event, const struct roster_member *member)
{
    int *counts = arg;
    (void)member;
    counts[event]++;
}

static void note_of(struct roster_note *note, const char *text)
{
    assert_int_equal(roster_note_read(span_str(text), note), 0);
}

static void views_drop_who_is_over_and_keep_a_ghost(void **state)
{
    struct roster_lease lease = {0};
    struct roster_view view;
    struct roster_note note;
    struct span value;
    int counts[5] = {0};
    (void)state;
    read_answer(&lease, "1 7 3 20 12 1\n12\n15\n");
    roster_view_init(&view, &lease);
    note_of(&note, "1 9 0 5 3\n+1 1 12\na1+1 1 15\nb2+1 1 13\nc3"); /* c's lease is over */
    assert_int_equal(roster_view_snapshot(&view, &note, 0, count_events, counts), VIEW_CHANGED);
    assert_int_equal(view.members.count, 2);
    assert_false(list_empty(&view.ghosts));
    read_answer(&lease, "1 7 4 20 12 1\n12\n");
    assert_int_equal(roster_view_judge(&view, count_events, counts), VIEW_CHANGED);
    assert_int_equal(roster_view_judge(&view, count_events, counts), VIEW_SAME);
    assert_false(roster_view_find(&view, SPAN("b"), &value));
    assert_int_equal(counts[ROSTER_GONE], 1);
    note_of(&note, "1 9 5 6 1\n+1 1 15\nb9"); /* sent when its node was dead already */
    assert_int_equal(roster_view_change(&view, &note, count_events, counts), VIEW_SAME);
    assert_false(roster_view_find(&view, SPAN("b"), &value));
    note_of(&note, "1 9 6 7 2\n-1 0 15\nb-1 0 13\nc"); /* the key is rid of them */
    assert_int_equal(roster_view_change(&view, &note, count_events, counts), VIEW_SAME);
    assert_true(list_empty(&view.ghosts));
    note_of(&note, "1 9 7 8 1\n+1 1 21\nb2"); /* the node is back */
    assert_int_equal(roster_view_change(&view, &note, count_events, counts), VIEW_CHANGED);
    assert_int_equal(roster_view_token(&view, SPAN("b")), 21);
    assert_int_equal(lease.floor, 21);
    roster_view_reset(&view);
    roster_lease_deinit(&lease);
}

int test_lease(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_not_listed_is_over),
        cmocka_unit_test(another_table_is_told_and_numbers_never_go_back),
        cmocka_unit_test(broken_answers_change_nothing),
        cmocka_unit_test(views_drop_who_is_over_and_keep_a_ghost),
    };
    return cmocka_run_group_tests_name("lease", tests, NULL, NULL);
}
