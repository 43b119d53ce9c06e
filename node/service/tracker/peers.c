/* SPDX-License-Identifier: MIT */
#include "node/service/tracker/peers.h"

#include "store/base/entropy.h"
#include "store/base/map.h"

#include <math.h>
#include <stdlib.h>

enum {
    INDEX_BITS = 12,
    REGISTERS = 1 << INDEX_BITS,
    TRACKER_PEERS_PARTS = 8,          /* of the window */
    SLICES = TRACKER_PEERS_PARTS + 1, /* and the one that is being filled */
};

struct tracker_peers {
    uint64_t key[2];   /* of the hash: peers cannot choose addresses that count as one */
    uint64_t slice_ms; /* length of one */
    uint64_t turn;     /* number of the slice that is being filled */
    uint8_t slices[SLICES][REGISTERS]; /* longest run of zero bits seen, and one; 0: nothing seen */
};

struct tracker_peers *tracker_peers_new(uint64_t window_ms)
{
    struct tracker_peers *peers = mem_zalloc(sizeof(*peers));
    peers->slice_ms = window_ms > TRACKER_PEERS_PARTS ? window_ms / TRACKER_PEERS_PARTS : 1;
    entropy(peers->key, sizeof(peers->key));
    return peers;
}

void tracker_peers_free(struct tracker_peers **peers)
{
    free(*peers);
    *peers = NULL;
}

/* Empties the slices whose time is over. */
static void turn_to(struct tracker_peers *peers, uint64_t now_ms)
{
    uint64_t turn = now_ms / peers->slice_ms;
    if (turn > peers->turn + SLICES) {
        peers->turn = turn - SLICES;
    }
    while (peers->turn < turn) {
        memset(peers->slices[++peers->turn % SLICES], 0, REGISTERS);
    }
}

void tracker_peers_saw(struct tracker_peers *peers, const struct address *peer, uint64_t now_ms)
{
    uint64_t hash = map_siphash(peers->key, span_of(peer, sizeof(peer->ip) + sizeof(peer->port)));
    uint64_t rest = hash << INDEX_BITS | (uint64_t)1 << (INDEX_BITS - 1); /* ends the run */
    uint8_t run = (uint8_t)(__builtin_clzll(rest) + 1);
    turn_to(peers, now_ms);
    uint8_t *seen = &peers->slices[peers->turn % SLICES][hash >> (64 - INDEX_BITS)];
    *seen = run > *seen ? run : *seen;
}

static uint8_t longest(const struct tracker_peers *peers, size_t at)
{
    uint8_t most = 0;
    for (size_t i = 0; i < SLICES; i++) {
        most = peers->slices[i][at] > most ? peers->slices[i][at] : most;
    }
    return most;
}

uint64_t tracker_peers_count(struct tracker_peers *peers, uint64_t now_ms)
{
    double sum = 0, empty = 0;
    turn_to(peers, now_ms);
    for (size_t i = 0; i < REGISTERS; i++) {
        uint8_t most = longest(peers, i);
        sum += ldexp(1, -most);
        empty += most == 0 ? 1 : 0;
    }
    /* The paper's estimate; where many registers are empty, linear counting is better. */
    double estimate = 0.7213 / (1 + 1.079 / REGISTERS) * REGISTERS * REGISTERS / sum;
    if (estimate <= 2.5 * REGISTERS && empty > 0) {
        estimate = REGISTERS * log(REGISTERS / empty);
    }
    return (uint64_t)llround(estimate);
}
