/* SPDX-License-Identifier: MIT */
#include "store/base/map.h"

#include "store/base/entropy.h"

enum { FIRST_BUCKETS = 16 };

void map_init(struct map *map)
{
    *map = (struct map){0};
}

void map_deinit(struct map *map)
{
    free(map->buckets);
    map_init(map);
}

static struct map_node **slot_of(const struct map *map, uint32_t hash)
{
    return &map->buckets[hash & map->mask];
}

static bool is_node(const struct map_node *node, uint32_t hash, struct span key)
{
    return node->hash == hash && span_eq(map_key(node), key);
}

struct map_node *map_find(const struct map *map, struct span key)
{
    if (map->count == 0) {
        return NULL;
    }
    uint32_t hash = (uint32_t)map_siphash(map->seed, key);
    struct map_node *node = *slot_of(map, hash);
    while (node != NULL && !is_node(node, hash, key)) {
        node = node->next;
    }
    return node;
}

static void rebuild(struct map *map, uint32_t buckets)
{
    struct map old = *map;
    map->buckets = mem_zalloc(buckets * sizeof(*map->buckets));
    map->mask = buckets - 1;
    for (uint32_t i = 0; old.buckets != NULL && i <= old.mask; i++) {
        struct map_node *node = old.buckets[i];
        while (node != NULL) {
            struct map_node *next = node->next;
            struct map_node **slot = slot_of(map, node->hash);
            node->next = *slot;
            *slot = node;
            node = next;
        }
    }
    free(old.buckets);
}

void map_insert(struct map *map, struct map_node *node, struct span key)
{
    if (map->buckets == NULL) {
        entropy(map->seed, sizeof(map->seed));
        rebuild(map, FIRST_BUCKETS);
    } else if (map->count > map->mask) {
        rebuild(map, (map->mask + 1) * 2);
    }
    node->key = key.ptr;
    node->key_len = (uint32_t)key.len;
    node->hash = (uint32_t)map_siphash(map->seed, key);
    struct map_node **slot = slot_of(map, node->hash);
    node->next = *slot;
    *slot = node;
    map->count++;
}

void map_remove(struct map *map, struct map_node *node)
{
    struct map_node **at = slot_of(map, node->hash);
    while (*at != node) {
        at = &(*at)->next;
    }
    *at = node->next;
    node->next = NULL;
    map->count--;
}

struct map_node *map_next(const struct map *map, const struct map_node *node)
{
    if (map->buckets == NULL) {
        return NULL;
    }
    if (node != NULL && node->next != NULL) {
        return node->next;
    }
    for (uint32_t i = node != NULL ? (node->hash & map->mask) + 1 : 0; i <= map->mask; i++) {
        if (map->buckets[i] != NULL) {
            return map->buckets[i];
        }
    }
    return NULL;
}

static inline uint64_t rotl(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

static uint64_t load_le(const char *ptr, size_t len)
{
    uint64_t word = 0;
    for (size_t i = 0; i < len; i++) {
        word |= (uint64_t)(unsigned char)ptr[i] << (8 * i);
    }
    return word;
}

uint64_t map_siphash(const uint64_t key[2], struct span s)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575U, key[1] ^ 0x646f72616e646f6dU,
                     key[0] ^ 0x6c7967656e657261U, key[1] ^ 0x7465646279746573U};
    size_t whole = s.len & ~(size_t)7;
    for (size_t i = 0; i <= whole; i += 8) {
        uint64_t word = i < whole ? load_le(s.ptr + i, 8)
                                  : load_le(s.ptr + whole, s.len - whole) | (uint64_t)s.len << 56;
        v[3] ^= word;
        sip_round(v);
        sip_round(v);
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++) {
        sip_round(v);
    }
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
