/* SPDX-License-Identifier: MIT */
#include "store/bus_speaker.h"
#include "tests.h"

static void an_older_link_is_not_heard_any_more(void **state)
{
    struct map speakers;
    (void)state;
    map_init(&speakers);
    assert_true(bus_speaker_goes_on(&speakers, SPAN("a"), 1, 0));
    assert_true(bus_speaker_goes_on(&speakers, SPAN("a"), 1, 1));
    assert_true(bus_speaker_goes_on(&speakers, SPAN("a"), 3, 2));
    assert_false(bus_speaker_goes_on(&speakers, SPAN("a"), 1, 3));
    assert_false(bus_speaker_goes_on(&speakers, SPAN("a"), 2, 3));
    assert_true(bus_speaker_goes_on(&speakers, SPAN("a"), 3, 4));
    assert_true(
        bus_speaker_goes_on(&speakers, SPAN("b"), 1, 5)); /* another node's links are its own */
    assert_true(bus_speaker_goes_on(&speakers, SPAN("ab"), 2, 5));
    bus_speakers_deinit(&speakers);
}

static void say_all(struct map *speakers, char first, uint64_t now_us)
{
    for (int i = 0; i < SPEAKERS_KEPT; i++) {
        char name[2] = {first, (char)(' ' + i)};
        assert_true(bus_speaker_goes_on(speakers, span_of(name, 2), 2, now_us));
    }
}

static void who_is_silent_for_long_is_forgotten(void **state)
{
    struct map speakers;
    (void)state;
    map_init(&speakers);
    say_all(&speakers, 'a', 0);
    assert_int_equal(speakers.count, SPEAKERS_KEPT);
    say_all(&speakers, 'b', SPEAKER_AGE_US);
    assert_int_equal(speakers.count, 2 * SPEAKERS_KEPT);
    assert_true(bus_speaker_goes_on(&speakers, SPAN("c"), 1, SPEAKER_AGE_US + 1));
    assert_int_equal(speakers.count, SPEAKERS_KEPT + 1);
    bus_speakers_deinit(&speakers);
}

static void a_parcel_that_is_missing_is_seen(void **state)
{
    struct map speakers;
    (void)state;
    map_init(&speakers);
    assert_true(bus_speaker_goes_on(&speakers, SPAN("a"), 1, 0));
    assert_false(bus_speaker_missed(&speakers, SPAN("a"), 5)); /* the first that is heard */
    assert_false(bus_speaker_missed(&speakers, SPAN("a"), 6));
    assert_true(bus_speaker_missed(&speakers, SPAN("a"), 8));
    assert_false(bus_speaker_missed(&speakers, SPAN("a"), 9));
    assert_false(bus_speaker_missed(&speakers, SPAN("a"), 1)); /* the way begins again */
    assert_true(bus_speaker_goes_on(&speakers, SPAN("a"), 2, 0));
    assert_false(bus_speaker_missed(&speakers, SPAN("a"), 7)); /* another link */
    bus_speakers_restart(&speakers);
    assert_false(bus_speaker_missed(&speakers, SPAN("a"), 99)); /* another one of this node */
    assert_true(bus_speaker_missed(&speakers, SPAN("a"), 101));
    bus_speakers_deinit(&speakers);
}

int test_speaker(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_older_link_is_not_heard_any_more),
        cmocka_unit_test(a_parcel_that_is_missing_is_seen),
        cmocka_unit_test(who_is_silent_for_long_is_forgotten),
    };
    return cmocka_run_group_tests_name("speaker", tests, NULL, NULL);
}
