/* SPDX-License-Identifier: MIT */
#include "store/base/map.h"

#include "store/base/entropy.h"

enum {
    FIRST_BUCKETS = 16,
    AT_ONCE = 1024,      /* buckets: a table up to so many is rebuilt in one go */
    MOVED_PER_INSERT = 4 /* buckets of a larger one; two would be enough */
};

/* A large table that grew takes over the nodes of the one before bucket by bucket, with each insert
 * some: a map of a hundred thousand would hold up everybody otherwise. Stands before the buckets.
 *
 *     old: [ moved ... at | not yet moved ]      a node is in the old one while its bucket there is
 */
struct map_move {
    struct map_node **old; /* NULL: all are here */
    uint32_t old_mask, at;
};

void map_init(struct map *map)
{
    *map = (struct map){0};
}

/* NULL where the table is too small to have one. */
static struct map_move *move_of(const struct map *map)
{
    return map->buckets != NULL && map->mask >= AT_ONCE ? (struct map_move *)map->buckets - 1
                                                        : NULL;
}

/* Of a table that has one. */
static void free_with_head(struct map_node **buckets)
{
    if (buckets != NULL) {
        free((struct map_move *)buckets - 1);
    }
}

void map_deinit(struct map *map)
{
    struct map_move *move = move_of(map);
    if (move != NULL) {
        free_with_head(move->old);
        free_with_head(map->buckets);
    } else {
        free(map->buckets);
    }
    map_init(map);
}

static struct map_node **slot_of(const struct map *map, uint32_t hash)
{
    const struct map_move *move = move_of(map);
    if (move != NULL && move->old != NULL && (hash & move->old_mask) >= move->at) {
        return &move->old[hash & move->old_mask];
    }
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

static void push(struct map *map, struct map_node *node)
{
    struct map_node **slot = &map->buckets[node->hash & map->mask];
    node->next = *slot;
    *slot = node;
}

static void move_bucket(struct map *map, struct map_node *node)
{
    while (node != NULL) {
        struct map_node *next = node->next;
        push(map, node);
        node = next;
    }
}

static void move_some(struct map *map, uint32_t most)
{
    struct map_move *move = move_of(map);
    for (; most > 0 && move != NULL && move->old != NULL; most--) {
        move_bucket(map, move->old[move->at]);
        if (move->at++ == move->old_mask) {
            free_with_head(move->old);
            move->old = NULL;
        }
    }
}

uint32_t map_unmoved(const struct map *map)
{
    const struct map_move *move = move_of(map);
    return move != NULL && move->old != NULL ? move->old_mask + 1 - move->at : 0;
}

static void make_table(struct map *map, uint32_t buckets)
{
    map->mask = buckets - 1;
    if (map->mask >= AT_ONCE) {
        struct map_move *move = mem_zalloc(sizeof(*move) + buckets * sizeof(*map->buckets));
        map->buckets = (struct map_node **)(move + 1);
    } else {
        map->buckets = mem_zalloc(buckets * sizeof(*map->buckets));
    }
}

static void grow(struct map *map)
{
    move_some(map, UINT32_MAX);
    struct map old = *map;
    struct map_move *before = move_of(&old);
    make_table(map, (old.mask + 1) * 2);
    struct map_move *move = move_of(map);
    if (move == NULL || before == NULL) {
        for (uint32_t i = 0; old.buckets != NULL && i <= old.mask; i++) {
            move_bucket(map, old.buckets[i]);
        }
        free(old.buckets);
        return;
    }
    *move = (struct map_move){.old = old.buckets, .old_mask = old.mask};
}

void map_insert(struct map *map, struct map_node *node, struct span key)
{
    if (map->buckets == NULL) {
        entropy(map->seed, sizeof(map->seed));
        make_table(map, FIRST_BUCKETS);
    } else if (map->count > map->mask) {
        grow(map);
    }
    move_some(map, MOVED_PER_INSERT);
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

static struct map_node *first_from(struct map_node **buckets, uint32_t mask, uint32_t from)
{
    for (uint32_t i = from; i <= mask; i++) {
        if (buckets[i] != NULL) {
            return buckets[i];
        }
    }
    return NULL;
}

/* What was not moved yet comes first. */
struct map_node *map_next(const struct map *map, const struct map_node *node)
{
    const struct map_move *move = move_of(map);
    bool moving = move != NULL && move->old != NULL;
    if (map->buckets == NULL) {
        return NULL;
    }
    if (node != NULL && node->next != NULL) {
        return node->next;
    }
    uint32_t from = 0;
    if (moving && (node == NULL || (node->hash & move->old_mask) >= move->at)) {
        uint32_t at = node != NULL ? (node->hash & move->old_mask) + 1 : move->at;
        struct map_node *next = first_from(move->old, move->old_mask, at);
        if (next != NULL) {
            return next;
        }
    } else if (node != NULL) {
        from = (node->hash & map->mask) + 1;
    }
    return first_from(map->buckets, map->mask, from);
}

static uint32_t reversed(uint32_t bits)
{
    bits = (bits >> 1 & 0x55555555U) | (bits & 0x55555555U) << 1;
    bits = (bits >> 2 & 0x33333333U) | (bits & 0x33333333U) << 2;
    bits = (bits >> 4 & 0x0f0f0f0fU) | (bits & 0x0f0f0f0fU) << 4;
    return __builtin_bswap32(bits);
}

static void visit(struct map_node *node, map_visit_fn *fn, void *arg)
{
    while (node != NULL) {
        struct map_node *next = node->next;
        fn(arg, node);
        node = next;
    }
}

/* Counts with the highest bit of the bucket's number first: what a table's bucket i becomes when it
 * doubles, i and i with one more bit, come one after the other, so none is passed over (Redis walks its
 * tables so, dict.c). */
uint32_t map_scan(const struct map *map, uint32_t cursor, map_visit_fn *fn, void *arg)
{
    const struct map_move *move = move_of(map);
    bool moving = move != NULL && move->old != NULL;
    if (map->buckets == NULL) {
        return 0;
    }
    uint32_t mask = moving ? move->old_mask : map->mask;
    if (moving && (cursor & mask) >= move->at) {
        visit(move->old[cursor & mask], fn, arg);
    } else {
        for (uint32_t i = cursor & mask; i <= map->mask; i += mask + 1) {
            visit(map->buckets[i], fn, arg);
        }
    }
    return reversed(reversed(cursor | ~mask) + 1);
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
