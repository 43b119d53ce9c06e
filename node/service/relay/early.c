/* SPDX-License-Identifier: MIT */
#include "node/service/relay/early.h"

struct early_packet {
    struct list entry, of_sender;
    struct early_sender *sender;
    uint64_t until_ms;
    size_t len;
    char bytes[];
};

struct early_sender {
    struct map_node node; /* by the bytes of `id` */
    uint64_t id;
    struct list packets; /* the oldest first; never empty */
};

void relay_early_init(struct relay_early *early)
{
    list_init(&early->packets);
    map_init(&early->senders);
    early->bytes = 0;
}

static struct early_sender *find(const struct relay_early *early, uint64_t id)
{
    struct map_node *node = map_find(&early->senders, span_of(&id, sizeof(id)));
    return node != NULL ? MAP_ENTRY(node, struct early_sender, node) : NULL;
}

static struct early_sender *sender_of(struct relay_early *early, uint64_t id)
{
    struct early_sender *sender = find(early, id);
    if (sender == NULL) {
        sender = mem_zalloc(sizeof(*sender));
        sender->id = id;
        list_init(&sender->packets);
        map_insert(&early->senders, &sender->node, span_of(&sender->id, sizeof(sender->id)));
        early->bytes += sizeof(*sender);
    }
    return sender;
}

static void forget(struct relay_early *early, struct early_packet *packet)
{
    struct early_sender *sender = packet->sender;
    list_del(&packet->entry);
    list_del(&packet->of_sender);
    early->bytes -= sizeof(*packet) + packet->len;
    free(packet);
    if (list_empty(&sender->packets)) {
        map_remove(&early->senders, &sender->node);
        early->bytes -= sizeof(*sender);
        free(sender);
    }
}

static struct early_packet *oldest(const struct relay_early *early)
{
    return LIST_ITEM(early->packets.next, struct early_packet, entry);
}

void relay_early_deinit(struct relay_early *early)
{
    while (!list_empty(&early->packets)) {
        forget(early, oldest(early));
    }
    map_deinit(&early->senders);
}

unsigned relay_early_add(struct relay_early *early, uint64_t sender, struct span bytes,
                         uint64_t now_ms)
{
    struct early_packet *packet = mem_alloc(sizeof(*packet) + bytes.len);
    unsigned gone = 0;
    *packet = (struct early_packet){
        .sender = sender_of(early, sender), .until_ms = now_ms + RELAY_EARLY_MS, .len = bytes.len};
    memcpy(packet->bytes, bytes.ptr, bytes.len);
    list_push_back(&early->packets, &packet->entry);
    list_push_back(&packet->sender->packets, &packet->of_sender);
    early->bytes += sizeof(*packet) + bytes.len;
    while (!list_empty(&early->packets) &&
           (early->bytes > RELAY_EARLY_BYTES || oldest(early)->until_ms <= now_ms)) {
        forget(early, oldest(early));
        gone++;
    }
    return gone;
}

void relay_early_send(struct relay_early *early, uint64_t id, uint64_t now_ms,
                      struct relay_room *room)
{
    const struct relay_paced_mark mark = {.topic = id, .kind = PACED_TALK};
    struct early_sender *sender;
    while ((sender = find(early, id)) != NULL) {
        struct early_packet *packet =
            LIST_ITEM(sender->packets.next, struct early_packet, of_sender);
        if (packet->until_ms > now_ms) {
            relay_room_send(room, span_of(packet->bytes, packet->len), mark, NULL);
        }
        forget(early, packet);
    }
}
