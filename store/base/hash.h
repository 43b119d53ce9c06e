/* SPDX-License-Identifier: MIT */
/* hash: names to numbers that are the same in every process and release: they say on which server a
 * key lives and in which lane a room is. For tables that strangers fill there is map.h. */
#ifndef MUSTER_STORE_BASE_HASH_H
#define MUSTER_STORE_BASE_HASH_H

#include "store/base/span.h"

#include <stdint.h>

/* FNV-1a, 32 bits. The low bits of it alone are poor for short names: mix them before a division. */
static inline uint32_t hash_fnv1a(struct span name)
{
    uint32_t hash = 2166136261U;
    for (size_t i = 0; i < name.len; i++) {
        hash = (hash ^ (unsigned char)name.ptr[i]) * 16777619U;
    }
    return hash;
}

#endif
