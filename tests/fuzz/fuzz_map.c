/* SPDX-License-Identifier: MIT */
/* What a server of a cluster says of the cluster: its map (CLUSTER SHARDS, CLUSTER SLOTS), and redirections.
 *
 *     input = 't' or another byte, for ports of TLS or not; the answer, as it comes over the wire
 *
 * An error in the answer is read as a redirection; what stands behind an 'm' is what a server of a list says of
 * partitions on their way. */
#include "store/redis/map.h"
#include "store/redis/moves.h"
#include "store/redis/redirect.h"
#include "store/redis/reply.h"

#include "store/partition.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SLOTS = 16384 };

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

/* Each server is one that can be reached and has slots; each partition is of one of them, or of none. */
static void look_at_map(const redisReply *reply, bool tls)
{
    struct redis_map map;
    unsigned slots = 0;
    if (redis_map_read(&map, reply, "asked.example", tls) != 0) {
        return;
    }
    for (size_t i = 0; i < map.count; i++) {
        const struct redis_map_server *one = &map.servers[i];
        must(one->at.host[0] != '\0' && one->at.port != 0, "a server has a place");
        must(one->slots > 0 && one->slots <= SLOTS, "a server has slots");
        slots += one->slots;
    }
    must(slots == map.slots && slots <= SLOTS, "each slot is counted once");
    for (unsigned p = 0; p < PARTITIONS; p++) {
        must(map.owner[p] >= -1 && (map.owner[p] < 0 || (size_t)map.owner[p] < map.count),
             "a partition is of a server that is there");
    }
    redis_map_free(&map);
}

static void look_at_error(const char *text)
{
    struct redis_redirect to = redis_redirect_read(text);
    if (to.kind == REDIRECT_MOVED || to.kind == REDIRECT_ASK) {
        must(to.slot < SLOTS && to.port != 0, "a redirection leads somewhere");
        must(to.host.len == 0 ||
                 (to.host.ptr >= text && to.host.ptr + to.host.len <= text + strlen(text)),
             "a host is a part of the text");
    }
}

static void look_at_moves(struct span text)
{
    struct redis_moves moves;
    int rc = redis_moves_read(text, &moves);
    must((rc == 0) == (moves.phase != MOVES_UNKNOWN), "how far it is");
    for (unsigned p = 0; p < PARTITIONS; p++) {
        must(rc == 0 || text.len > 0 || !shard_set_has(&moves.gone, p), "only what was said");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] == 'm') {
        look_at_moves(span_of(data + 1, size - 1));
        return 0;
    }
    struct redis_replies *replies = redis_replies_new();
    const redisReply *reply;
    if (size > 1 && redisReaderFeed(redis_replies_reader(replies), (const char *)data + 1,
                                    size - 1) == REDIS_OK) {
        while (redis_replies_next(replies, &reply) > 0) {
            if (reply->type == REDIS_REPLY_ERROR) {
                look_at_error(reply->str);
            } else {
                look_at_map(reply, data[0] == 't');
            }
            redis_replies_done(replies);
        }
    }
    redis_replies_free(&replies);
    return 0;
}
