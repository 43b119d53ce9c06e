/* SPDX-License-Identifier: MIT */
/* More listeners than one turn has time for: what each of them hears, in which order; and how much is sent until
 * others have their turn again, which a witness counts among the works of the loop. Time passes only as the witness
 * says (fake_clock.c). */
#include "node/net/work.h"
#include "node/service/logs/entry.h"
#include "node/service/logs/live_impl.h"
#include "store/base/clock.h"
#include "store/base/timer.h"
#include "store/stream.h"
#include "tests/unit/proto/peer.h"

#include <sys/resource.h>

enum {
    LISTENERS = 2000,
    DESCRIPTORS = 8192,
    EVERYWHERE = LISTENERS / 2, /* the first hear all rooms, the others one */
    LIVE_QUEUE = 1 << 16,
    SENT_AT_ONCE = 400, /* at most: 256 at once, and a step of each work */
    STEP_US = 20,
};

struct logs_crowd {
    struct peer *peer;
    struct store *store;
    struct logs_live *live;
    struct net_work witness;
    uint64_t sent, most; /* chunks, when it looked last; between two looks */
    bool entered,
        astray; /* news went through a room's listeners; so it did when there were no rooms */
    int fds[LISTENERS + 1];
    unsigned asked;
    struct http_request *asking[LISTENERS + 1]; /* held until all have asked */
    struct buf heard
        [LISTENERS +
         1]; /* first letters of messages; [ of what the node itself made, C of a close frame */
};

static bool look(struct net_work *work)
{
    struct logs_crowd *crowd = CONTAINER_OF(work, struct logs_crowd, witness);
    uint64_t sent = net_sends(crowd->peer->net), since = sent - crowd->sent;
    crowd->most = since > crowd->most ? since : crowd->most;
    crowd->sent = sent;
    usleep(STEP_US);
    return true;
}

static void on_listen(void *arg, struct http_request *request)
{
    struct logs_crowd *crowd = arg;
    crowd->asking[crowd->asked++] = request;
}

static void turn(struct logs_crowd *crowd, unsigned turns)
{
    for (; turns > 0; turns--) {
        peer_turn(crowd->peer);
    }
}

static void ask(struct logs_crowd *crowd, unsigned at)
{
    static const char shake[] =
        "HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n";
    struct peer *peer = crowd->peer;
    peer_connect(peer);
    peer_write(peer, SPAN("GET / "));
    peer_write(peer, SPAN(shake));
    crowd->fds[at] = peer->fd;
    peer->fd = -1;
}

static uint64_t count_let_in(struct logs_crowd *crowd)
{
    metrics_count(&crowd->peer->metrics);
    return crowd->peer->metrics.value[METRIC_LOGS_LISTENERS];
}

/* Those from `from` on to the one before `to` listen. */
static void listen_all(struct logs_crowd *crowd, unsigned from, unsigned to, size_t backlog)
{
    crowd->asked = from;
    for (unsigned i = from; i < to; i++) {
        ask(crowd, i);
        while (crowd->asked == i) {
            turn(crowd, 1);
        }
    }
    for (unsigned i = from; i < to; i++) {
        const struct logs_wish wish = {.room = i < EVERYWHERE ? SPAN("") : SPAN("room"),
                                       .backlog = backlog};
        logs_live_join(crowd->live, crowd->asking[i], &wish);
    }
}

/* All wait for the tail together. */
static void come(struct logs_crowd *crowd, size_t backlog)
{
    listen_all(crowd, 0, LISTENERS, backlog);
    while (count_let_in(crowd) < LISTENERS) {
        turn(crowd, 1);
    }
}

static void read_frames(struct buf *heard, struct span bytes)
{
    while (bytes.len > 0) {
        const unsigned char *head = (const unsigned char *)bytes.ptr;
        bool large = head[1] == 126;
        size_t len = large ? (size_t)head[2] << 8 | head[3] : head[1];
        bytes = span_skip(bytes, large ? 4 : 2);
        buf_append(heard, head[0] == 0x88 ? SPAN("C") : span_of(bytes.ptr, 1));
        bytes = span_skip(bytes, len);
    }
}

/* Of the answer to the handshake, and of what comes behind it. */
static const char *hear(struct logs_crowd *crowd, unsigned at)
{
    char bytes[1 << 16];
    ssize_t got = recv(crowd->fds[at], bytes, sizeof(bytes), MSG_DONTWAIT);
    struct span rest = span_of(bytes, got > 0 ? (size_t)got : 0);
    if (rest.len > 0 && rest.ptr[0] == 'H') {
        const char *end = memmem(rest.ptr, rest.len, "\r\n\r\n", 4);
        assert_non_null(end);
        rest = span_skip(rest, (size_t)(end - rest.ptr) + 4);
    }
    read_frames(&crowd->heard[at], rest);
    return buf_text(&crowd->heard[at]);
}

static void bring(struct logs_crowd *crowd, const char *room, const char *text)
{
    logs_live_deliver(crowd->live, span_str(room), span_str(text), (struct logs_run){.count = 1});
}

static int setup(void **state)
{
    static const struct http_options options = {.header_limit = 4096,
                                                .body_limit = 100,
                                                .request_ms = 5000,
                                                .keep_alive_ms = 5000,
                                                .ws_message_limit = 1000};
    char error[256];
    struct rlimit most;
    struct logs_crowd *crowd = mem_zalloc(sizeof(*crowd));
    getrlimit(RLIMIT_NOFILE, &most);
    most.rlim_cur = DESCRIPTORS;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &most), 0);
    crowd->peer = peer_new(&options, LIVE_QUEUE, LISTENERS + 1);
    struct store_options store = {.base = loop_base(crowd->peer->loop),
                                  .url = "memory:",
                                  .prefix = "test",
                                  .node = "node",
                                  .lease_ms = 3000};
    crowd->store = store_open(&store, error, sizeof(error));
    assert_non_null(crowd->store);
    stream_setup(crowd->store, &(struct stream_limits){.lanes = 1, .entries = 1000});
    crowd->live = logs_live_new(&(struct logs_live_options){.net = crowd->peer->net,
                                                            .store = crowd->store,
                                                            .metrics = &crowd->peer->metrics,
                                                            .lanes = 1,
                                                            .queue_limit = LIVE_QUEUE});
    http_route_websocket(crowd->peer->server, "/", on_listen, crowd);
    net_work_init(&crowd->witness, look);
    net_work_queue(crowd->peer->net, &crowd->witness);
    *state = crowd;
    return 0;
}

static int teardown(void **state)
{
    struct logs_crowd *crowd = *state;
    for (unsigned i = 0; i <= LISTENERS; i++) {
        if (crowd->fds[i] > 0) {
            close(crowd->fds[i]);
        }
        buf_free(&crowd->heard[i]);
    }
    net_free(&crowd->peer->net);
    assert_int_equal(crowd->live->count, 0);
    logs_live_free(&crowd->live);
    store_close(&crowd->store);
    peer_free(crowd->peer);
    free(crowd);
    return 0;
}

static void test_no_turn_goes_through_all(void **state)
{
    struct logs_crowd *crowd = *state;
    come(crowd, 0);
    bring(crowd, "", "a");
    bring(crowd, "room", "b");
    turn(crowd, 2);
    bring(crowd, "other", "c");
    bring(crowd, "", "d");
    turn(crowd, 100);
    for (unsigned i = 0; i < LISTENERS; i++) {
        assert_string_equal(hear(crowd, i), i < EVERYWHERE ? "abcd" : "abd");
    }
    assert_in_range(crowd->most, 1, SENT_AT_ONCE);
    assert_int_equal(crowd->peer->metrics.value[METRIC_LOGS_DELIVERED], 3 * LISTENERS + EVERYWHERE);
}

static void test_a_loss_is_told_to_all_in_its_place(void **state)
{
    struct logs_crowd *crowd = *state;
    come(crowd, 0);
    bring(crowd, "", "a");
    logs_live_missed(crowd->live, 2, 7);
    bring(crowd, "", "b");
    turn(crowd, 100);
    logs_live_doubt(crowd->live, 9);
    turn(crowd, 100);
    bring(crowd, "", "c");
    turn(crowd, 100);
    for (unsigned i = 0; i < LISTENERS; i++) {
        assert_string_equal(hear(crowd, i), "a[b[c");
    }
    assert_in_range(crowd->most, 1, SENT_AT_ONCE);
}

static struct log_listener *listener_at(struct list *link)
{
    return LIST_ITEM(link, struct log_listener, all);
}

/* Some are closed by the node, some go by themselves, while news is on its way to them. */
static void test_who_goes_meanwhile_has_what_was_brought_before(void **state)
{
    struct logs_crowd *crowd = *state;
    unsigned number = 0, closed = 0;
    come(crowd, 0);
    bring(crowd, "room", "a");
    assert_false(list_empty(&crowd->live->walk.news));
    LIST_EACH(it, &crowd->live->all) {
        if (number++ % 3 == 0) {
            ws_close(listener_at(it)->member.ws, WS_NORMAL, "");
        }
    }
    for (unsigned i = EVERYWHERE; i < LISTENERS; i++) {
        shutdown(crowd->fds[i], SHUT_WR);
    }
    bring(crowd, "room", "b");
    turn(crowd, 100);
    assert_int_equal(crowd->live->rooms.count, 0);
    for (unsigned i = 0; i < EVERYWHERE; i++) {
        const char *heard = hear(crowd, i);
        closed += strcmp(heard, "aC") == 0;
        assert_true(strcmp(heard, "aC") == 0 || strcmp(heard, "ab") == 0);
    }
    assert_in_range(closed, EVERYWHERE / 3 - 50, EVERYWHERE / 3 + 50);
}

/* A room goes with all its listeners, while news is on its way through it. */
static void test_a_room_goes_meanwhile(void **state)
{
    struct logs_crowd *crowd = *state;
    struct logs_walk *walk = &crowd->live->walk;
    come(crowd, 0);
    bring(crowd, "room", "a");
    while (walk->at.head == &crowd->live->everywhere) {
        turn(crowd, 1);
    }
    assert_false(list_empty(&walk->news));
    net_work_cancel(&walk->work); /* it stays in the room, */
    LIST_EACH(it, &crowd->live->all) {
        if (listener_at(it)->room != NULL) {
            conn_close(ws_conn(listener_at(it)->member.ws));
        }
    }
    turn(crowd, 100);
    assert_int_equal(crowd->live->rooms.count, 0);
    assert_ptr_equal(walk->at.head, &crowd->live->everywhere); /* which is gone */
    net_work_queue(crowd->peer->net, &walk->work);
    turn(crowd, 100);
    assert_true(list_empty(&walk->news));
    for (unsigned i = 0; i < EVERYWHERE; i++) {
        assert_string_equal(hear(crowd, i), "a");
    }
}

static void test_who_comes_meanwhile_hears_what_is_brought_from_then_on(void **state)
{
    struct logs_crowd *crowd = *state;
    come(crowd, 0);
    bring(crowd, "", "a");
    listen_all(crowd, LISTENERS, LISTENERS + 1, 0);
    assert_false(list_empty(&crowd->live->walk.news));
    bring(crowd, "", "b");
    turn(crowd, 100);
    assert_string_equal(hear(crowd, LISTENERS), "b");
    assert_string_equal(hear(crowd, LISTENERS - 1), "ab");
}

static void on_stored(void *arg, const struct stream_result *result)
{
    bool *done = arg;
    assert_int_equal(result->outcome, STREAM_STORED);
    *done = true;
}

static void store_entry(struct logs_crowd *crowd)
{
    bool done = false;
    struct stream_item item = {0, SPAN("room"), SPAN("{\"msg\":\"x\"}")};
    assert_int_equal(stream_append(crowd->store, &item, 1, on_stored, &done), 0);
    while (!done) {
        turn(crowd, 1);
    }
}

/* All share one reading, news comes while it lasts and while it is handed out. */
static void test_a_backlog_is_handed_out_to_some_at_a_time(void **state)
{
    struct logs_crowd *crowd = *state;
    turn(crowd, 5);
    store_entry(crowd);
    crowd->live->backlog_pause_ms = clock_monotonic_ms() + 1000 * 1000; /* all wait in the line */
    come(crowd, 5);
    crowd->live->backlog_pause_ms = 0;
    timer_after(crowd->live->backlog_timer, 0);
    for (unsigned i = 0; i < 200 && crowd->live->walk.number < 20; i++) {
        bring(crowd, "", "a");
        turn(crowd, 1);
    }
    while (!list_empty(&crowd->live->backlogs) || !list_empty(&crowd->live->backlog_line)) {
        usleep(1000);
        turn(crowd, 1);
    }
    turn(crowd, 100);
    bring(crowd, "", "b");
    turn(crowd, 100);
    for (unsigned i = 0; i < LISTENERS; i++) {
        const char *heard = hear(crowd, i);
        size_t len = strlen(heard);
        assert_true(len >= 2 && heard[0] == '[' && heard[len - 1] == 'b');
        assert_int_equal(strspn(heard + 1, "a"), len - 2);
    }
    assert_in_range(crowd->most, 1, SENT_AT_ONCE);
}

static void test_the_tail_waits_while_much_is_on_its_way(void **state)
{
    struct logs_crowd *crowd = *state;
    struct buf text = {0};
    come(crowd, 0);
    buf_append(&text, SPAN("x"));
    while (text.len < LIVE_QUEUE / 8) {
        buf_append(&text, SPAN("x"));
    }
    for (int i = 0; i < 3; i++) {
        assert_false(logs_news_are_full(crowd->live));
        logs_live_deliver(crowd->live, SPAN(""), buf_span(&text), (struct logs_run){.count = 1});
    }
    assert_true(logs_news_are_full(crowd->live));
    turn(crowd, 200);
    assert_false(logs_news_are_full(crowd->live));
    buf_free(&text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_no_turn_goes_through_all),
        TEST(test_a_loss_is_told_to_all_in_its_place),
        TEST(test_who_goes_meanwhile_has_what_was_brought_before),
        TEST(test_a_room_goes_meanwhile),
        TEST(test_who_comes_meanwhile_hears_what_is_brought_from_then_on),
        TEST(test_a_backlog_is_handed_out_to_some_at_a_time),
        TEST(test_the_tail_waits_while_much_is_on_its_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
