/* SPDX-License-Identifier: MIT */
/* States as other nodes write them: what is bounded, passed over, or no state at all. */
#include "node/service/minigame/state.h"

#include "store/base/buf.h"
#include "tests/unit/cmocka_all.h"

#define BEGIN "{\"version\":7,\"by\":\"a\",\"running\":true,\"period\":60,\"offset\":5,"
#define TIMES "\"next_at_ms\":9000,\"number\":3,"
#define WHOLE                                                                                      \
    BEGIN TIMES "\"rounds\":[{\"id\":\"HLG-3\",\"game\":\"boomer\",\"start_at\":15,"               \
                "\"set_up_at\":10,\"players\":[\"bob\",\"alice\"],\"ended\":false}],"              \
                "\"balances\":{\"bob\":5,\"alice\":-1}}"

static struct minigame_state *read_state(const char *text)
{
    return minigame_state_read(span_str(text));
}

static void what_is_read_is_printed(void **unused)
{
    (void)unused;
    struct minigame_state *state = read_state(WHOLE);
    assert_non_null(state);
    char *text = minigame_state_print(state);
    assert_string_equal(text, WHOLE);
    free(text);
    uint64_t since = 0;
    char *seat = minigame_state_print_seat(state, 12);
    struct minigame_state *again = minigame_state_read_seat(span_str(seat), &since);
    assert_int_equal(since, 12);
    assert_true(minigame_state_is_same(state, again));
    struct minigame_state *copy = minigame_state_copy(again);
    minigame_state_free(&again);
    text = minigame_state_print(copy);
    assert_string_equal(text, WHOLE);
    free(text);
    free(seat);
    minigame_state_free(&copy);
    minigame_state_free(&state);
}

static void what_is_no_state_is_not_read(void **unused)
{
    (void)unused;
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "{\"version\":1,\"by\":\"a\",\"rounds\":[]}",
        "{\"version\":\"1\",\"by\":\"a\",\"rounds\":[],\"balances\":{}}",
        "{\"version\":1,\"by\":2,\"rounds\":[],\"balances\":{}}",
        "{\"version\":1,\"by\":\"a\",\"rounds\":{},\"balances\":{}}",
        "{\"version\":1,\"rounds\":[],\"balances\":{},\"by\":"
        "\"1234567890123456789012345678901234567890"
        "1234567890123456789012345\"}",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        assert_null(read_state(texts[i]));
    }
    uint64_t since;
    assert_null(minigame_state_read_seat(SPAN(WHOLE), &since)); /* no seat around it */
}

/* A round without its members, more of everything than is kept, and words of another version. */
static void more_and_less_than_expected(void **unused)
{
    (void)unused;
    struct buf text = {0};
    buf_printf(&text, BEGIN "\"new\":[1],\"rounds\":[{},5,{\"id\":7,\"players\":[1,null,\"x\"]}");
    for (int i = 0; i < 7; i++) {
        buf_printf(&text, ",{\"id\":\"HLG-%d\",\"players\":[", i);
        for (int player = 0; player < 12; player++) {
            buf_printf(&text, "%s\"p%d\"", player > 0 ? "," : "", player);
        }
        buf_printf(&text, "]}");
    }
    buf_printf(&text, "],\"balances\":{\"odd\":\"text\"");
    for (int i = 0; i < MINIGAME_BALANCES_MOST; i++) {
        buf_printf(&text, ",\"u%d\":%d", i, i);
    }
    buf_printf(&text, "}}");
    struct minigame_state *state = read_state(buf_text(&text));
    buf_free(&text);
    assert_int_equal(state->round_count, MINIGAME_ROUNDS_MOST);
    assert_string_equal(state->rounds[0].id, "");
    assert_int_equal(state->rounds[0].player_count, 1);
    assert_string_equal(state->rounds[7].id, "HLG-6");
    assert_int_equal(state->rounds[7].player_count, MINIGAME_PLAYERS_MOST);
    assert_int_equal(state->balance_count, MINIGAME_BALANCES_MOST);
    assert_string_equal(state->balances[0].user, "u0");
    minigame_state_free(&state);
}

static void rounds_and_balances(void **unused)
{
    (void)unused;
    struct minigame_state *state = read_state(WHOLE);
    assert_non_null(minigame_state_find(state, "HLG-3"));
    minigame_state_find(state, "HLG-3")->ended = true;
    assert_null(minigame_state_find(state, "HLG-3"));
    assert_int_equal(minigame_state_pay(state, "bob", 10), 15);
    assert_string_equal(state->balances[1].user, "bob"); /* paid last */
    struct minigame_round *round = minigame_state_add_round(state, 20500);
    assert_string_equal(round->id, "HLG-4");
    assert_string_equal(round->game, "speedspinner");
    assert_int_equal(round->start_at, 25);
    assert_int_equal(state->next_at_ms, 80500);
    for (int i = 0; i < 3; i++) { /* both balances, then the older round */
        assert_true(minigame_state_forget(state));
    }
    assert_false(minigame_state_forget(state));
    assert_int_equal(state->balance_count, 0);
    assert_string_equal(state->rounds[0].id, "HLG-4");
    minigame_state_free(&state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_read_is_printed),
        cmocka_unit_test(what_is_no_state_is_not_read),
        cmocka_unit_test(more_and_less_than_expected),
        cmocka_unit_test(rounds_and_balances),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
