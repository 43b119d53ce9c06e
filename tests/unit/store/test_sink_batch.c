/* SPDX-License-Identifier: MIT */
/* The sink's batches: what goes together, and the bytes of any part. */
#include "tests.h"

#include "store/sink/batch.h"
#include "store/sink/sink.h"

#define DAY_US (86400LL * 1000000)

static bool as_row(void *arg, const struct sink_item *item, struct buf *row, const char **reason)
{
    (void)arg;
    buf_append(row, item->payload);
    *reason = "bad";
    return item->payload.ptr[0] != '!';
}

static const struct sink_codec codec = {.table = "t", .row = as_row};

static void put(struct sink_batch *batch, uint64_t seq, int64_t time_us, const char *payload)
{
    struct sink_item item = {
        .seq = seq, .ordinal = seq, .time_us = time_us, .payload = span_str(payload)};
    sink_batch_add(batch, &codec, &item, 1);
}

static void runs_end_at_days_and_at_what_is_no_row(void **state)
{
    struct sink_batch batch = {0};
    (void)state;
    put(&batch, 1, 5 * DAY_US - 2, "a");
    put(&batch, 2, 5 * DAY_US - 1, "bb");
    put(&batch, 3, 5 * DAY_US, "c");
    put(&batch, 4, 5 * DAY_US, "!no");
    put(&batch, 5, 5 * DAY_US, "d");
    assert_int_equal(sink_batch_run(&batch, 0, 100, 100), 2);
    assert_int_equal(sink_batch_run(&batch, 0, 1, 100), 1);
    assert_int_equal(sink_batch_run(&batch, 2, 100, 100), 1);
    assert_int_equal(sink_batch_run(&batch, 3, 100, 100), 0);
    assert_int_equal(sink_batch_run(&batch, 4, 100, 100), 1);
    assert_int_equal(sink_batch_run(&batch, 0, 100, 3), 2);
    assert_int_equal(sink_batch_run(&batch, 0, 100, 2), 1);
    assert_int_equal(sink_batch_run(&batch, 1, 100, 1), 1); /* larger alone */
    assert_true(span_eq(sink_batch_rows(&batch, 0, 3), SPAN("abbc")));
    assert_true(
        span_eq(sink_batch_rows(&batch, 4, 1), SPAN("d"))); /* nothing is left of the bad one */
    assert_true(span_eq(sink_batch_raw(&batch, 3), SPAN("!no")));
    assert_string_equal(batch.row[3].reason, "bad");
    sink_batch_clear(&batch, 1024);
    assert_int_equal(batch.count, 0);
    assert_true(batch.rows.cap > 0 && batch.raws.cap > 0);
    sink_batch_clear(&batch, 0); /* what is too much to keep */
    assert_int_equal(batch.rows.cap + batch.raws.cap, 0);
    put(&batch, 6, -1, "e");
    assert_int_equal(sink_day(batch.row[0].time_us), -1);
    assert_int_equal(sink_day(0), 0);
    sink_batch_free(&batch);
}

int test_sink_batch(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_end_at_days_and_at_what_is_no_row),
    };
    return cmocka_run_group_tests_name("sink batch", tests, NULL, NULL);
}
