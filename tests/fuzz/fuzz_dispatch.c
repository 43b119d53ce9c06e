/* SPDX-License-Identifier: MIT */
/* The two wires of dispatch. What is read as a frame is written again as the same bytes; a number
 * before the input says which wire, and nothing that is no frame is read past its end. */
#include "node/net/cidr.h"
#include "node/service/dispatch/frame.h"
#include "node/service/dispatch/mesh/message.h"
#include "store/wire.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void driver_frame(struct span input)
{
    struct dispatch_frame frame;
    char head[DISPATCH_HEAD_MOST];
    int rc = dispatch_frame_read(input, &frame);
    must(rc == 0 || rc == DISPATCH_UNKNOWN_TYPE || rc == DISPATCH_BROKEN);
    if (rc == 0) {
        size_t len = dispatch_frame_head(&frame, head);
        must(len + frame.data.len == input.len && memcmp(head, input.ptr, len) == 0);
    }
}

/* Writes again what can be read of it; what a later version may have is left out. */
static void mesh_again(struct span rest, struct buf *again)
{
    struct mesh_head head;
    struct mesh_message frame;
    if (dispatch_mesh_message_read_head(&rest, &head) != 0) {
        return;
    }
    must(dispatch_mesh_message_is_read(&head) || head.form != STORE_WIRE_TO);
    dispatch_mesh_message_put_head(again, &head);
    while (dispatch_mesh_message_next(&rest, &frame) > 0) {
        dispatch_mesh_message_put(again, &frame);
    }
}

static void mesh(struct span input)
{
    struct buf once = {0}, twice = {0};
    mesh_again(input, &once);
    mesh_again(buf_span(&once), &twice);
    must(once.len <= input.len && span_eq(buf_span(&once), buf_span(&twice)));
    buf_free(&once);
    buf_free(&twice);
}

static void accept_list(struct span input)
{
    struct cidr_list list;
    struct span wrong;
    struct address address = {.ip = {1}};
    if (cidr_list_parse(input, &list, &wrong) == 0) {
        cidr_list_has(&list, &address);
        cidr_list_free(&list);
    } else {
        must(wrong.ptr >= input.ptr && wrong.ptr + wrong.len <= input.ptr + input.len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const wires[])(struct span) = {driver_frame, mesh, accept_list};
    if (size > 0) {
        wires[data[0] % 3](span_of(data + 1, size - 1));
    }
    return 0;
}
