/* SPDX-License-Identifier: MIT */
/* A message to a group so large that one turn does not go through it. Each receiver that is asked whether it wants
 * one takes a microsecond of the clock of fake_clock.c. */
#include "node/fanout/group.h"
#include "tests/unit/proto/peer.h"

#include <sys/resource.h>

enum {
    MEMBERS = 3000,
    DESCRIPTORS = 8192,
    OTHERS = 64 /* behind the first MEMBERS, no members yet */
};

struct crowd;

struct member {
    struct receiver receiver;
    struct crowd *crowd;
    struct ws *ws;
    int fd;
    char heard[16]; /* letters of the messages, C of a close frame */
};

struct crowd {
    struct peer *peer;
    struct group group;
    struct member members[MEMBERS + OTHERS];
    unsigned count;
    unsigned asked, most_asked; /* in this turn, in any */
    uint64_t turn;
};

static void on_message(void *arg, enum ws_kind kind, struct span payload)
{
    (void)arg;
    (void)kind;
    (void)payload;
}

static void leave(struct member *member)
{
    if (!list_empty(&member->receiver.entry)) {
        group_remove(&member->crowd->group, &member->receiver);
    }
}

static void on_closing(void *arg)
{
    struct member *member = arg;
    if (!list_empty(&member->receiver.entry)) {
        group_give(&member->crowd->group, &member->receiver);
    }
}

static void on_closed(void *arg)
{
    leave(arg);
}

static void serve(void *arg, struct http_request *request)
{
    static const struct ws_handler handler = {
        .message = on_message, .closing = on_closing, .closed = on_closed};
    struct crowd *crowd = arg;
    struct member *member = &crowd->members[crowd->count++];
    member->crowd = crowd;
    list_init(&member->receiver.entry);
    member->ws = ws_accept(request, &handler, member);
}

static void enter(struct member *member)
{
    group_add(&member->crowd->group, &member->receiver, member->ws);
}

static void open_one(struct crowd *crowd)
{
    static const char shake[] =
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    struct peer *peer = crowd->peer;
    unsigned before = crowd->count;
    peer_connect(peer);
    peer_write(peer, SPAN(shake));
    while (crowd->count == before || peer->got.len == 0) {
        peer_turn(peer);
    }
    crowd->members[before].fd = peer->fd;
    peer->fd = -1;
    buf_free(&peer->got);
}

static int setup(void **state)
{
    static const struct http_options options = {.header_limit = 4096,
                                                .body_limit = 100,
                                                .request_ms = 5000,
                                                .keep_alive_ms = 5000,
                                                .ws_message_limit = 1000};
    struct rlimit most;
    struct crowd *crowd = mem_zalloc(sizeof(*crowd));
    getrlimit(RLIMIT_NOFILE, &most);
    most.rlim_cur = DESCRIPTORS;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &most), 0);
    crowd->peer = peer_new(&options, 1 << 16, MEMBERS + OTHERS);
    http_route_websocket(crowd->peer->server, "/", serve, crowd);
    group_init(&crowd->group, &crowd->peer->metrics);
    while (crowd->count < MEMBERS + OTHERS) {
        open_one(crowd);
    }
    for (unsigned i = 0; i < MEMBERS; i++) {
        enter(&crowd->members[i]);
    }
    *state = crowd;
    return 0;
}

static int teardown(void **state)
{
    struct crowd *crowd = *state;
    for (unsigned i = 0; i < crowd->count; i++) {
        close(crowd->members[i].fd);
    }
    peer_free(crowd->peer);
    assert_int_equal(crowd->group.count, 0);
    assert_null(crowd->group.walk);
    free(crowd);
    return 0;
}

static bool is_asked(struct receiver *receiver, uint64_t as_of)
{
    struct crowd *crowd = CONTAINER_OF(receiver, struct member, receiver)->crowd;
    (void)as_of;
    uint64_t turn = loop_turn(crowd->peer->loop);
    crowd->asked = turn == crowd->turn ? crowd->asked + 1 : 1;
    crowd->turn = turn;
    crowd->most_asked = crowd->asked > crowd->most_asked ? crowd->asked : crowd->most_asked;
    usleep(1);
    return true;
}

static void say(struct crowd *crowd, const char *text)
{
    group_send(&crowd->group, span_str(text), (struct group_choice){.wants = is_asked});
}

static void turn(struct crowd *crowd, unsigned turns)
{
    while (turns-- > 0) {
        peer_turn(crowd->peer);
    }
}

/* One frame after the other, all of them short. */
static const char *hear(struct member *member)
{
    unsigned char bytes[256];
    size_t heard = strlen(member->heard);
    ssize_t got = recv(member->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    for (ssize_t at = 0; at < got; at += 2 + bytes[at + 1]) {
        member->heard[heard++] = bytes[at] == 0x88 ? 'C' : (char)bytes[at + 2];
        assert_true(heard < sizeof(member->heard));
    }
    return member->heard;
}

static void test_one_turn_does_not_go_through_all(void **state)
{
    struct crowd *crowd = *state;
    say(crowd, "a");
    assert_string_equal(hear(&crowd->members[0]), "");
    turn(crowd, 2);
    assert_non_null(crowd->group.walk);
    say(crowd, "b");
    turn(crowd, 100);
    assert_null(crowd->group.walk);
    assert_in_range(crowd->most_asked, 1, 700);
    for (unsigned i = 0; i < MEMBERS; i++) {
        assert_string_equal(hear(&crowd->members[i]), "ab");
    }
    assert_int_equal(crowd->peer->metrics.value[METRIC_DELIVERIES], 2 * MEMBERS);
}

/* A message goes to those who were there when it was sent. */
static void test_who_comes_meanwhile_gets_what_is_sent_from_then_on(void **state)
{
    struct crowd *crowd = *state;
    say(crowd, "a");
    turn(crowd, 2);
    for (unsigned i = MEMBERS; i < MEMBERS + OTHERS; i++) {
        enter(&crowd->members[i]);
    }
    say(crowd, "b");
    turn(crowd, 100);
    for (unsigned i = MEMBERS; i < MEMBERS + OTHERS; i++) {
        assert_string_equal(hear(&crowd->members[i]), "b");
    }
}

/* Each of the group leaves or is closed at another time of the walk, and the walk goes on over all others. */
static void test_who_goes_meanwhile_has_what_was_sent_before(void **state)
{
    struct crowd *crowd = *state;
    say(crowd, "a");
    for (unsigned i = 0; i < MEMBERS; i += 3) {
        leave(&crowd->members[i]);
        ws_close(crowd->members[i + 1].ws, WS_NORMAL, "");
        if (i % 300 == 0) {
            turn(crowd, 1);
        }
    }
    say(crowd, "b");
    turn(crowd, 100);
    for (unsigned i = 0; i < MEMBERS; i += 3) {
        assert_string_equal(hear(&crowd->members[i]), "a");
        assert_string_equal(hear(&crowd->members[i + 1]), "aC");
        assert_string_equal(hear(&crowd->members[i + 2]), "ab");
    }
}

static void test_what_is_for_one_comes_behind_what_was_for_all(void **state)
{
    struct crowd *crowd = *state;
    struct shared_message message;
    shared_message_init(&message, WS_TEXT, SPAN("1"));
    say(crowd, "a");
    group_send_one(&crowd->group, &crowd->members[MEMBERS - 1].receiver, &message);
    group_send_late(&crowd->group, SPAN("b"), GROUP_ALL);
    say(crowd, "c");
    turn(crowd, 100);
    assert_string_equal(hear(&crowd->members[0]), "abc");
    assert_string_equal(hear(&crowd->members[MEMBERS - 1]), "a1bc");
    shared_message_deinit(&message);
}

/* A node that cannot keep up does not keep all that it was sent. */
static void test_what_is_kept_is_bounded(void **state)
{
    struct crowd *crowd = *state;
    char *text = mem_zalloc(GROUP_KEPT_MOST / 2);
    memset(text, 'x', GROUP_KEPT_MOST / 2);
    for (int i = 0; i < 2; i++) {
        group_send(&crowd->group, span_of(text, GROUP_KEPT_MOST / 2), GROUP_ALL);
        assert_int_equal(conn_queued(ws_conn(crowd->members[0].ws)), 0);
    }
    say(crowd, "a");
    for (unsigned i = 0; i < MEMBERS; i++) { /* the second is more than its queue takes */
        assert_false(ws_is_open(crowd->members[i].ws));
    }
    free(text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_one_turn_does_not_go_through_all),
        TEST(test_who_comes_meanwhile_gets_what_is_sent_from_then_on),
        TEST(test_who_goes_meanwhile_has_what_was_sent_before),
        TEST(test_what_is_for_one_comes_behind_what_was_for_all),
        TEST(test_what_is_kept_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
