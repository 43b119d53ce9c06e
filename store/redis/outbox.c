/* SPDX-License-Identifier: MIT */
#include "store/redis/outbox.h"

enum {
    OUTBOX_KEPT = 256 * 1024, /* bytes of memory that an empty one keeps */
    SHARED_FROM =
        16 * 1024, /* what is shorter is copied: that takes less than a write of its own */
};

struct outbox_part {
    struct list entry;
    struct chunk *chunk;
    struct buf behind; /* bytes that come after it */
};

static struct outbox_part *part_of(struct list *link)
{
    return LIST_ITEM(link, struct outbox_part, entry);
}

static bool has_parts(const struct redis_outbox *box)
{
    return box->parts != NULL && !list_empty(box->parts);
}

void redis_outbox_put(struct redis_outbox *box, struct span bytes)
{
    if (has_parts(box)) {
        buf_append(&part_of(box->parts->prev)->behind, bytes);
        box->in_parts += bytes.len;
        return;
    }
    if (box->taken > box->bytes.len / 2) {
        buf_consume(&box->bytes, box->taken);
        box->taken = 0;
    }
    buf_append(&box->bytes, bytes);
}

void redis_outbox_share(struct redis_outbox *box, struct chunk *chunk)
{
    if (chunk->len < SHARED_FROM) {
        redis_outbox_put(box, span_of(chunk->data, chunk->len));
        return;
    }
    if (box->parts == NULL) {
        box->parts = mem_alloc(sizeof(*box->parts));
        list_init(box->parts);
    }
    struct outbox_part *part = mem_zalloc(sizeof(*part));
    part->chunk = chunk_ref(chunk);
    box->in_parts += chunk->len;
    list_push_back(box->parts, &part->entry);
}

void redis_outbox_add(struct redis_outbox *box, const struct redis_outbox *other)
{
    redis_outbox_put(box, buf_span(&other->bytes));
    if (!has_parts(other)) {
        return;
    }
    LIST_EACH(it, other->parts) {
        redis_outbox_share(box, part_of(it)->chunk);
        redis_outbox_put(box, buf_span(&part_of(it)->behind));
    }
}

struct span redis_outbox_front(const struct redis_outbox *box)
{
    if (box->bytes.len > 0) {
        return span_skip(buf_span(&box->bytes), box->taken);
    }
    if (!has_parts(box)) {
        return span_of(NULL, 0);
    }
    const struct chunk *chunk = part_of(box->parts->next)->chunk;
    return span_skip(span_of(chunk->data, chunk->len), box->taken);
}

/* What stood behind the first chunk is at the front now. */
static void drop_chunk(struct redis_outbox *box)
{
    struct outbox_part *part = part_of(box->parts->next);
    buf_free(&box->bytes);
    box->bytes = part->behind;
    box->in_parts -= part->chunk->len + part->behind.len;
    chunk_unref(part->chunk);
    list_del(&part->entry);
    free(part);
}

void redis_outbox_take(struct redis_outbox *box, size_t n)
{
    bool all = n == redis_outbox_front(box).len;
    box->taken = all ? 0 : box->taken + n;
    if (!all) {
        return;
    }
    if (box->bytes.len == 0 && has_parts(box)) {
        drop_chunk(box);
        return;
    }
    box->bytes.len = 0;
    if (box->bytes.cap > OUTBOX_KEPT) {
        buf_free(&box->bytes);
    }
}

size_t redis_outbox_len(const struct redis_outbox *box)
{
    return box->bytes.len + box->in_parts - box->taken;
}

void redis_outbox_free(struct redis_outbox *box)
{
    while (has_parts(box)) {
        drop_chunk(box);
    }
    free(box->parts);
    buf_free(&box->bytes);
    *box = (struct redis_outbox){0};
}
