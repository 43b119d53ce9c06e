/* SPDX-License-Identifier: MIT */
#include "node/service/relay/early.h"

struct packet {
    struct list entry;
    uint64_t sender, until_ms;
    size_t len;
    char bytes[];
};

void relay_early_init(struct relay_early *early)
{
    list_init(&early->packets);
    early->bytes = 0;
}

static void forget(struct relay_early *early, struct packet *packet)
{
    list_del(&packet->entry);
    early->bytes -= sizeof(*packet) + packet->len;
    free(packet);
}

static struct packet *oldest(const struct relay_early *early)
{
    return LIST_ITEM(early->packets.next, struct packet, entry);
}

void relay_early_deinit(struct relay_early *early)
{
    while (!list_empty(&early->packets)) {
        forget(early, oldest(early));
    }
}

unsigned relay_early_add(struct relay_early *early, uint64_t sender, struct span bytes,
                         uint64_t now_ms)
{
    struct packet *packet = mem_alloc(sizeof(*packet) + bytes.len);
    unsigned gone = 0;
    *packet =
        (struct packet){.sender = sender, .until_ms = now_ms + RELAY_EARLY_MS, .len = bytes.len};
    memcpy(packet->bytes, bytes.ptr, bytes.len);
    list_push_back(&early->packets, &packet->entry);
    early->bytes += sizeof(*packet) + bytes.len;
    while (!list_empty(&early->packets) &&
           (early->bytes > RELAY_EARLY_BYTES || oldest(early)->until_ms <= now_ms)) {
        forget(early, oldest(early));
        gone++;
    }
    return gone;
}

void relay_early_send(struct relay_early *early, uint64_t sender, uint64_t now_ms,
                      struct relay_room *room)
{
    const struct relay_paced_mark mark = {.topic = sender, .kind = PACED_TALK};
    LIST_EACH(it, &early->packets) {
        struct packet *packet = LIST_ITEM(it, struct packet, entry);
        if (packet->sender != sender) {
            continue;
        }
        if (packet->until_ms > now_ms) {
            relay_room_send(room, span_of(packet->bytes, packet->len), mark, NULL);
        }
        forget(early, packet);
    }
}
