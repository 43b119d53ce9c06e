/* SPDX-License-Identifier: MIT */
#include "node/service/dispatch/frame.h"
#include "node/service/dispatch/mesh/message.h"
#include "tests/unit/cmocka_all.h"

#include <stdlib.h>

/* ------------------------------------------------------------------------------ driver's frames */

#define WRITE_FRAME                                                                                \
    "\x03"                                                                                         \
    "10.0.0.7\0"                                                                                   \
    "\0\x10\xff\xff\xff\xff\xff\xff"                                                               \
    "\0\0\0\x03"                                                                                   \
    "a\0b"

static void test_a_frame_is_read(void **state)
{
    struct dispatch_frame frame;
    (void)state;
    assert_int_equal(dispatch_frame_read(SPAN(WRITE_FRAME), &frame), 0);
    assert_int_equal(frame.type, DISPATCH_WRITE);
    assert_true(span_eq(frame.ip, SPAN("10.0.0.7")));
    assert_true(frame.id_or_port == 0x10ffffffffffff);
    assert_true(span_eq(frame.data, SPAN("a\0b")));
}

static void test_a_frame_is_written_as_it_is_read(void **state)
{
    struct dispatch_frame frame;
    char head[DISPATCH_HEAD_MOST];
    (void)state;
    assert_int_equal(dispatch_frame_read(SPAN(WRITE_FRAME), &frame), 0);
    size_t len = dispatch_frame_head(&frame, head);
    assert_int_equal(len, sizeof(WRITE_FRAME) - 1 - 3);
    assert_memory_equal(head, WRITE_FRAME, len);
}

static void test_a_frame_must_be_whole_and_alone(void **state)
{
    char longer[sizeof(WRITE_FRAME)] = WRITE_FRAME;
    struct dispatch_frame frame;
    (void)state;
    for (size_t len = 0; len < sizeof(WRITE_FRAME) - 1; len++) {
        char *cut = malloc(len); /* so that a sanitizer sees each byte too far */
        memcpy(cut, WRITE_FRAME, len);
        assert_int_equal(dispatch_frame_read(span_of(cut, len), &frame), DISPATCH_BROKEN);
        free(cut);
    }
    assert_int_equal(dispatch_frame_read(span_of(longer, sizeof(longer)), &frame), DISPATCH_BROKEN);
    assert_int_equal(dispatch_frame_read(SPAN("\x05"), &frame), DISPATCH_UNKNOWN_TYPE);
    assert_int_equal(dispatch_frame_read(SPAN("\xff\0\0"), &frame), DISPATCH_UNKNOWN_TYPE);
}

static void test_a_size_of_4_gib_is_no_overflow(void **state)
{
    struct dispatch_frame frame;
    (void)state;
    assert_int_equal(dispatch_frame_read(SPAN("\x03\0"
                                              "\0\0\0\0\0\0\0\0"
                                              "\xff\xff\xff\xff"
                                              "abc"),
                                         &frame),
                     DISPATCH_BROKEN);
}

static void test_the_longest_address(void **state)
{
    char text[1 + DISPATCH_IP_MOST + 1 + 1 + 12] = {1};
    struct dispatch_frame frame;
    char head[DISPATCH_HEAD_MOST];
    (void)state;
    memset(text + 1, '1', DISPATCH_IP_MOST);
    assert_int_equal(dispatch_frame_read(span_of(text, sizeof(text) - 1), &frame), 0);
    assert_int_equal(frame.ip.len, DISPATCH_IP_MOST);
    assert_int_equal(dispatch_frame_head(&frame, head), DISPATCH_HEAD_MOST);
    text[1 + DISPATCH_IP_MOST] = '1';
    assert_int_equal(dispatch_frame_read(span_of(text, sizeof(text)), &frame), DISPATCH_BROKEN);
}

/* ------------------------------------------------------------------------------- between nodes */

static struct mesh_message some_frame(enum mesh_type type)
{
    struct mesh_message frame = {.type = type, .leg = 0x0123456789abcdefU, .sequence = 0xfffffffe};
    if (type == MESH_OPEN || type == MESH_DATAGRAM || type == MESH_SEND) {
        frame.port = 6001;
        frame.peer = (struct address){.ip = {0x20, 1, [15] = 9}, .port = 65535};
    }
    if (type == MESH_DATAGRAM) {
        frame.here = (struct address){.ip = {0x20, 1, [15] = 1}};
    }
    if (type == MESH_OPEN) {
        frame.device = 1ULL << 52 | 1;
    }
    if (type == MESH_CREDIT || type == MESH_WROTE) {
        frame.count = 262144;
    }
    if (type == MESH_DATA || type == MESH_WRITE || type == MESH_DATAGRAM || type == MESH_SEND) {
        frame.bytes = SPAN("some\0bytes");
    }
    return frame;
}

static void expect_same(const struct mesh_message *a, const struct mesh_message *b)
{
    assert_int_equal(a->type, b->type);
    assert_true(a->leg == b->leg && a->sequence == b->sequence && a->device == b->device);
    assert_int_equal(a->port, b->port);
    assert_memory_equal(&a->peer, &b->peer, sizeof(a->peer.ip) + sizeof(a->peer.port));
    assert_memory_equal(a->here.ip, b->here.ip, sizeof(a->here.ip));
    assert_int_equal(a->count, b->count);
    assert_true(span_eq(a->bytes, b->bytes));
}

static void put_all(struct buf *out)
{
    dispatch_mesh_message_put_head(out, &(struct mesh_head){.epoch = 7, .node = SPAN("node-1")});
    for (int type = 0; type < MESH_TYPES; type++) {
        struct mesh_message frame = some_frame((enum mesh_type)type);
        dispatch_mesh_message_put(out, &frame);
    }
}

static void test_frames_between_nodes_come_back(void **state)
{
    struct buf out = {0};
    struct mesh_head head;
    struct mesh_message frame;
    (void)state;
    put_all(&out);
    struct span rest = buf_span(&out);
    assert_int_equal(dispatch_mesh_message_read_head(&rest, &head), 0);
    assert_int_equal(head.epoch, 7);
    assert_true(span_eq(head.node, SPAN("node-1")));
    for (int type = 0; type < MESH_TYPES; type++) {
        struct mesh_message wanted = some_frame((enum mesh_type)type);
        assert_true(dispatch_mesh_message_next(&rest, &frame) > 0);
        expect_same(&frame, &wanted);
    }
    assert_int_equal(dispatch_mesh_message_next(&rest, &frame), 0);
    buf_free(&out);
}

static void test_what_is_cut_short_is_broken(void **state)
{
    struct buf out = {0};
    (void)state;
    put_all(&out);
    for (size_t len = 0; len < out.len; len++) {
        char *cut = malloc(len);
        struct span rest = span_of(memcpy(cut, out.ptr, len), len);
        struct mesh_head head;
        struct mesh_message frame;
        if (dispatch_mesh_message_read_head(&rest, &head) == 0) {
            while (dispatch_mesh_message_next(&rest, &frame) > 0) {
            }
        }
        free(cut);
    }
    buf_free(&out);
}

static void test_nonsense_is_broken(void **state)
{
    struct mesh_message frame;
    struct mesh_head head;
    struct span nobody = SPAN("\x01\0\0\0\0\0\0\0\0\0");
    struct span unknown = SPAN("\x0b\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02.");
    struct span small = SPAN("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01.");
    (void)state;
    assert_int_equal(dispatch_mesh_message_read_head(&nobody, &head), -1);
    assert_int_equal(dispatch_mesh_message_next(&unknown, &frame), -1);
    assert_int_equal(dispatch_mesh_message_next(&small, &frame), -1);
}

/* A later version may have more types, and more at the end of a frame that carries no bytes. */
static void test_what_a_later_version_says_is_passed_over(void **state)
{
    struct mesh_message frame;
    struct mesh_head head;
    struct span other = SPAN("\x02\0\0\0\0\0\0\0\0\x01n");
    struct span frames = SPAN("\x0b\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02.."
                              "\x03\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x01."
                              "\x0c\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    (void)state;
    assert_true(dispatch_mesh_message_next(&frames, &frame) > 0);
    assert_true(frame.type == MESH_END && frame.leg == 5 && frame.bytes.len == 0);
    assert_int_equal(dispatch_mesh_message_next(&frames, &frame), 0);
    assert_int_equal(dispatch_mesh_message_read_head(&other, &head), 0);
    assert_true(span_eq(head.node, SPAN("n")));
    assert_false(dispatch_mesh_message_is_read(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_frame_is_read),
        cmocka_unit_test(test_a_frame_is_written_as_it_is_read),
        cmocka_unit_test(test_a_frame_must_be_whole_and_alone),
        cmocka_unit_test(test_a_size_of_4_gib_is_no_overflow),
        cmocka_unit_test(test_the_longest_address),
        cmocka_unit_test(test_frames_between_nodes_come_back),
        cmocka_unit_test(test_what_is_cut_short_is_broken),
        cmocka_unit_test(test_nonsense_is_broken),
        cmocka_unit_test(test_what_a_later_version_says_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
