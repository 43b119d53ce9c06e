/* SPDX-License-Identifier: MIT */
/* Answers that a server leaves out, and what happens when it does not: no command ever gets the answer of
 * another one. The server is a socket of the test's own, which says what the test has it say. */
#include "tests.h"

#include "store/redis/hush.h"

#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>

#define SKIP "*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$4\r\nSKIP\r\n"

static struct {
    int listening, served; /* descriptors */
    struct redis_conn *conn;
    struct redis_hush hush;
    char answers[200]; /* to commands, in the order of the callbacks */
    char lost[100];
} play;

static void note(const char *name, const redisReply *reply)
{
    size_t at = strlen(play.answers);
    snprintf(play.answers + at, sizeof(play.answers) - at, "%s=%s ", name,
             reply != NULL ? reply->str : "lost");
}

static void on_first(void *arg, const redisReply *reply)
{
    (void)arg;
    note("first", reply);
}

static void on_second(void *arg, const redisReply *reply)
{
    (void)arg;
    note("second", reply);
}

static void on_lost(void *arg, const char *text)
{
    (void)arg;
    snprintf(play.lost, sizeof(play.lost), "%s", text);
}

static void on_connected(void *arg, struct redis_conn *conn)
{
    (void)arg;
    redis_hush_begin(&play.hush, conn, SPAN("p"), on_lost, NULL);
}

static void on_push(void *arg, const redisReply *reply)
{
    (void)arg, (void)reply;
    fail_msg("an answer that nobody waits for");
}

static void begin(void)
{
    static const struct redis_conn_events events = {on_connected, on_push, on_lost};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    char error[100];
    memset(&play, 0, sizeof(play));
    play.listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(play.listening, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(play.listening, 1), 0);
    getsockname(play.listening, (struct sockaddr *)&at, &len);
    if (lab.nodes[0] == NULL) {
        lab_nodes(1);
    }
    const struct redis_dial dial = {.store = lab.nodes[0],
                                    .address = (struct sockaddr *)&at,
                                    .len = sizeof(at),
                                    .host = "test"};
    play.conn = redis_conn_new(&dial, &events, NULL, error, sizeof(error));
    assert_non_null(play.conn);
    play.served = accept(play.listening, NULL, NULL); /* the kernel has completed it */
    assert_true(play.served >= 0);
}

static void end(void)
{
    redis_hush_forget(&play.hush);
    redis_conn_free(&play.conn);
    close(play.served);
    close(play.listening);
}

/* The server has got all of this, and nothing else, since the last time. */
static void hears(const char *wanted)
{
    char got[1000] = "";
    size_t len = 0, most = strlen(wanted);
    while (len < most) {
        lab_turn();
        ssize_t n = recv(play.served, got + len, sizeof(got) - 1 - len, MSG_DONTWAIT);
        len += n > 0 ? (size_t)n : 0;
    }
    assert_string_equal(got, wanted);
}

static void says(const char *text)
{
    assert_int_equal(send(play.served, text, strlen(text), 0), strlen(text));
}

static void greet(void)
{
    begin();
    hears("*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$2\r\nON\r\n");
    says("+OK\r\n");
    hears(SKIP "*1\r\n$4\r\nTIME\r\n*3\r\n$7\r\nPUBLISH\r\n$6\r\np:hush\r\n$0\r\n\r\n");
}

static void one_answer_is_the_next_commands(void **state)
{
    (void)state;
    greet();
    assert_false(play.hush.works);
    says(":0\r\n");
    WAIT(play.hush.works);
    redis_hush_send(&play.hush, SPAN("a"));
    redis_conn_send(play.conn, SPAN("b"), on_first, NULL);
    hears(SKIP "ab");
    says("$1\r\nB\r\n");
    WAIT(play.answers[0] != '\0');
    assert_string_equal(play.answers, "first=B ");
    end();
}

static void a_server_without_it(void **state)
{
    (void)state;
    begin();
    hears("*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$2\r\nON\r\n");
    says("-ERR unknown command\r\n");
    WAIT(play.hush.refused);
    assert_false(play.hush.works);
    assert_string_equal(play.lost, "");
    end();
}

/* With nothing skipped: OK, or the time, or an error stands where the number should. */
static void a_server_that_answers_what_it_should_skip(void **state)
{
    static const char *const instead[] = {"+OK\r\n", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n",
                                          "-NOPERM no\r\n"};
    (void)state;
    for (size_t i = 0; i < sizeof(instead) / sizeof(instead[0]); i++) {
        greet();
        says(instead[i]);
        WAIT(play.lost[0] != '\0');
        assert_true(play.hush.refused && !play.hush.works);
        end();
    }
}

/* SKIP itself is answered, and so is what follows it: askers that wait must get neither. */
static void a_right_that_is_taken_away(void **state)
{
    static const char *const refusals[] = {
        "-NOPERM User m has no permissions to run the 'client|reply' command\r\n",
        "-NOPERM this user has no permissions to run the 'client' command or its subcommand\r\n",
        "-BUSY Redis is busy running a script.\r\n"};
    (void)state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        greet();
        says(":0\r\n");
        WAIT(play.hush.works);
        redis_hush_send(&play.hush, SPAN("a"));
        redis_conn_send(play.conn, SPAN("b"), on_first, NULL);
        redis_conn_send(play.conn, SPAN("c"), on_second, NULL);
        hears(SKIP "abc");
        says(refusals[i]);
        says(":1\r\n$1\r\nB\r\n$1\r\nC\r\n");
        WAIT(play.lost[0] != '\0');
        redis_hush_forget(&play.hush);
        redis_conn_free(&play.conn);
        assert_string_equal(play.answers, "first=lost second=lost ");
        end();
    }
}

/* Another right's refusal is an answer like any other. */
static void another_error_is_an_answer(void **state)
{
    (void)state;
    greet();
    says(":0\r\n");
    WAIT(play.hush.works);
    redis_conn_send(play.conn, SPAN("b"), on_first, NULL);
    hears("b");
    says("-NOPERM User m has no permissions to run the 'role' command\r\n");
    WAIT(play.answers[0] != '\0');
    assert_string_equal(play.lost, "");
    end();
}

int test_hush(void)
{
    const struct CMUnitTest tests[] = {
        LAB_TEST(one_answer_is_the_next_commands),
        LAB_TEST(a_server_without_it),
        LAB_TEST(a_server_that_answers_what_it_should_skip),
        LAB_TEST(a_right_that_is_taken_away),
        LAB_TEST(another_error_is_an_answer),
    };
    return cmocka_run_group_tests_name("hush", tests, lab_memory, lab_end);
}
