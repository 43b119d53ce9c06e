/* SPDX-License-Identifier: MIT */
/* What is asked while players are drawn, in which order it is served, and what it may cost. Letters have a name; what
 * became of each is written to a text. The players of a part take time (fake_clock.c). */
#include "node/service/minigame/line.h"

#include "node/net/net.h"
#include "node/service/minigame/sockets.h"
#include "store/base/mem.h"
#include "tests/unit/cmocka_all.h"

#include <unistd.h>

enum { PARTS = 64, PART_USERS = 100 };

struct line_bench {
    struct loop *loop;
    struct wheel *wheel;
    struct metrics metrics;
    struct net *net;
    struct minigame_line line;
    bool unknown; /* who is online */
    unsigned part_us, parts;
    struct buf said;
};

static bool each_online(void *arg, unsigned part, bool (*fn)(void *arg, struct span user),
                        void *fn_arg)
{
    struct line_bench *bench = arg;
    bool more = true;
    usleep(bench->part_us);
    bench->parts++;
    for (unsigned i = 0; !bench->unknown && more && i < PART_USERS; i++) {
        char name[16];
        int len = snprintf(name, sizeof(name), "p%u-%u", part, i);
        more = fn(fn_arg, span_of(name, (size_t)len));
    }
    return !bench->unknown;
}

static bool needs_players(void *arg, const json_t *letter)
{
    (void)arg;
    return json_is_true(json_object_get(letter, "players"));
}

static void say_players(struct line_bench *bench)
{
    struct minigame_round round = {0};
    minigame_line_give_players(&bench->line, &round);
    buf_printf(&bench->said, "%u", (unsigned)round.player_count);
    for (size_t i = 0; i < round.player_count; i++) {
        free(round.players[i]);
    }
}

static void on_serve(void *arg, const json_t *letter, const char *refusal)
{
    struct line_bench *bench = arg;
    buf_printf(&bench->said, " %s:", json_string_value(json_object_get(letter, "name")));
    if (refusal != NULL) {
        buf_append(&bench->said, span_str(strcmp(refusal, MINIGAME_TOO_MANY) == 0 ? "slow" : "no"));
    } else if (needs_players(NULL, letter) && !minigame_line_knows_players(&bench->line)) {
        buf_append(&bench->said, SPAN("unknown"));
    } else {
        say_players(bench);
    }
}

static void on_round(void *arg)
{
    struct line_bench *bench = arg;
    buf_append(&bench->said, SPAN(" round:"));
    say_players(bench);
}

static void stop(void *arg)
{
    loop_stop(arg);
}

static int set_up(void **state)
{
    struct line_bench *bench = mem_zalloc(sizeof(*bench));
    bench->loop = loop_new();
    bench->wheel = wheel_new(bench->loop);
    bench->net = net_new(bench->loop, bench->wheel, &bench->metrics,
                         &(struct net_limits){.queue = 1 << 20, .connections = 2});
    minigame_line_init(&bench->line,
                       &(struct minigame_line_options){.net = bench->net,
                                                       .online = {PARTS, each_online, bench},
                                                       .needs_players = needs_players,
                                                       .serve = on_serve,
                                                       .round = on_round,
                                                       .arg = bench});
    loop_at_turn_end(bench->loop, stop, bench->loop);
    *state = bench;
    return 0;
}

static int tear_down(void **state)
{
    struct line_bench *bench = *state;
    minigame_line_deinit(&bench->line);
    net_free(&bench->net);
    wheel_free(&bench->wheel);
    loop_free(&bench->loop);
    buf_free(&bench->said);
    free(bench);
    return 0;
}

static void ask(struct line_bench *bench, const char *name, bool players)
{
    minigame_line_ask(&bench->line, json_pack("{s:s, s:b}", "name", name, "players", players));
}

/* What was said since, once nothing goes on any more. */
static void expect_said(struct line_bench *bench, const char *text)
{
    for (int turn = 0; turn < 500; turn++) {
        loop_again(bench->loop);
        loop_run(bench->loop);
    }
    assert_string_equal(buf_text(&bench->said), text);
    bench->said.len = 0;
}

static void nothing_is_said_yet(const struct line_bench *bench)
{
    assert_int_equal(bench->said.len, 0);
}

/* Each that needs players has its own, and what is asked behind it comes behind it. */
static void test_they_are_served_in_order(void **state)
{
    struct line_bench *bench = *state;
    ask(bench, "a", false);
    assert_string_equal(buf_text(&bench->said), " a:0"); /* at once */
    bench->said.len = 0;
    ask(bench, "b", true);
    ask(bench, "c", false);
    ask(bench, "d", true);
    nothing_is_said_yet(bench);
    expect_said(bench, " b:10 c:0 d:10");
    assert_int_equal(bench->parts, 2 * PARTS);
}

static void test_those_behind_a_long_draw_may_not_draw_soon(void **state)
{
    enum { DRAW_US = 100 * PARTS };
    struct line_bench *bench = *state;
    bench->part_us = DRAW_US / PARTS;
    ask(bench, "a", true);
    ask(bench, "b", true);
    ask(bench, "c", false);
    expect_said(bench, " a:10 b:slow c:0");
    usleep(9 * DRAW_US);
    ask(bench, "d", true);
    expect_said(bench, " d:slow");
    minigame_line_draw(&bench->line); /* a round is not asked for */
    expect_said(bench, " round:10");
    usleep(11 * DRAW_US);
    ask(bench, "e", true);
    expect_said(bench, " e:10");
}

static void test_the_line_is_bounded(void **state)
{
    struct line_bench *bench = *state;
    minigame_line_draw(&bench->line);
    for (int i = 0; i < MINIGAME_ASKED_MOST; i++) {
        ask(bench, "a", false);
    }
    nothing_is_said_yet(bench);
    ask(bench, "b", false);
    assert_string_equal(buf_text(&bench->said), " b:no");
}

static void test_a_round_is_drawn_beside_them(void **state)
{
    struct line_bench *bench = *state;
    minigame_line_draw(&bench->line);
    ask(bench, "a", true);
    minigame_line_draw(&bench->line); /* that is under way */
    expect_said(bench, " round:10 a:10");
    ask(bench, "b", true);
    minigame_line_draw(&bench->line); /* none at the same time */
    expect_said(bench, " b:10");
    assert_int_equal(bench->parts, 3 * PARTS);
}

/* A round is tried again, and who asked is told. */
static void test_players_may_not_be_known(void **state)
{
    struct line_bench *bench = *state;
    bench->unknown = true;
    minigame_line_draw(&bench->line);
    ask(bench, "a", true);
    expect_said(bench, " a:unknown");
    bench->unknown = false;
    minigame_line_draw(&bench->line);
    expect_said(bench, " round:10");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_they_are_served_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_those_behind_a_long_draw_may_not_draw_soon, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_the_line_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_round_is_drawn_beside_them, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_players_may_not_be_known, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
