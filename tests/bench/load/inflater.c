/* SPDX-License-Identifier: MIT */
#include "tests/bench/load/inflater.h"

#include "store/base/mem.h"
#include "tests/bench/load/fail.h"

#include <zlib.h>

enum {
    KEPT = 16,
    WINDOW_BITS = 15,
    TEXT_LIMIT = 1 << 20,
};

struct kept {
    struct buf deflated, text;
};

struct inflater {
    z_stream stream;
    struct kept kept[KEPT];
};

struct inflater *inflater_new(void)
{
    struct inflater *inflater = mem_zalloc(sizeof(*inflater));
    must(inflateInit2(&inflater->stream, -WINDOW_BITS) == Z_OK, "inflateInit2");
    return inflater;
}

static void keep(struct kept *kept, struct span deflated)
{
    kept->deflated.len = 0;
    buf_append(&kept->deflated, deflated);
    buf_append(&kept->deflated, SPAN("\x00\x00\xff\xff")); /* what RFC 7692 leaves off */
    kept->text.len = 0;
}

static void inflate_kept(struct inflater *inflater, struct kept *kept)
{
    z_stream *stream = &inflater->stream;
    inflateReset(stream);
    stream->next_in = (Bytef *)kept->deflated.ptr;
    stream->avail_in = (uInt)kept->deflated.len;
    stream->next_out = (Bytef *)buf_room(&kept->text, TEXT_LIMIT);
    stream->avail_out = TEXT_LIMIT;
    int status = inflate(stream, Z_SYNC_FLUSH);
    if ((status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) ||
        stream->avail_in > 0) {
        fail("a message does not inflate: %d", status);
    }
    buf_grew(&kept->text, TEXT_LIMIT - stream->avail_out);
}

static bool is_kept(const struct kept *kept, struct span deflated)
{
    return kept->deflated.len == deflated.len + 4 &&
           memcmp(kept->deflated.ptr, deflated.ptr, deflated.len) == 0;
}

struct span inflater_text(struct inflater *inflater, const struct frame *frame, uint32_t hint)
{
    if (!frame->deflated) {
        return frame->payload;
    }
    struct kept *kept = &inflater->kept[hint % KEPT];
    if (!is_kept(kept, frame->payload)) {
        keep(kept, frame->payload);
        inflate_kept(inflater, kept);
    }
    return buf_span(&kept->text);
}
