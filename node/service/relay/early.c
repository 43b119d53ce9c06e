/* SPDX-License-Identifier: MIT */
#include "node/service/relay/early.h"

struct packet {
    struct list entry;
    uint64_t sender, until_ms;
    size_t len;
    char bytes[];
};

void relay_held_init(struct relay_held *held)
{
    list_init(&held->packets);
    held->bytes = 0;
}

static void forget(struct relay_held *held, struct packet *packet)
{
    list_del(&packet->entry);
    held->bytes -= sizeof(*packet) + packet->len;
    free(packet);
}

static struct packet *oldest(const struct relay_held *held)
{
    return LIST_ITEM(held->packets.next, struct packet, entry);
}

void relay_held_deinit(struct relay_held *held)
{
    while (!list_empty(&held->packets)) {
        forget(held, oldest(held));
    }
}

unsigned relay_held_add(struct relay_held *held, uint64_t sender, struct span bytes,
                        uint64_t now_ms)
{
    struct packet *packet = mem_alloc(sizeof(*packet) + bytes.len);
    unsigned gone = 0;
    *packet =
        (struct packet){.sender = sender, .until_ms = now_ms + RELAY_HELD_MS, .len = bytes.len};
    memcpy(packet->bytes, bytes.ptr, bytes.len);
    list_push_back(&held->packets, &packet->entry);
    held->bytes += sizeof(*packet) + bytes.len;
    while (!list_empty(&held->packets) &&
           (held->bytes > RELAY_HELD_BYTES || oldest(held)->until_ms <= now_ms)) {
        forget(held, oldest(held));
        gone++;
    }
    return gone;
}

void relay_held_send(struct relay_held *held, uint64_t sender, uint64_t now_ms,
                     struct relay_room *room)
{
    const struct relay_paced_mark mark = {.topic = sender, .kind = PACED_TALK};
    LIST_EACH(it, &held->packets) {
        struct packet *packet = LIST_ITEM(it, struct packet, entry);
        if (packet->sender != sender) {
            continue;
        }
        if (packet->until_ms > now_ms) {
            relay_room_send(room, span_of(packet->bytes, packet->len), mark, NULL);
        }
        forget(held, packet);
    }
}
