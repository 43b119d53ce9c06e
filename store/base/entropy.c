/* SPDX-License-Identifier: MIT */
#include "store/base/entropy.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

void entropy(void *out, size_t len)
{
    /* getrandom(2): reads of up to 256 bytes are never cut short once the pool is ready. */
    if (getrandom(out, len, 0) != (ssize_t)len) {
        fprintf(stderr, "muster: the system gives no random bytes\n");
        abort();
    }
}

uint64_t entropy_below(uint64_t bound)
{
    uint64_t word;
    entropy(&word, sizeof(word));
    return word % bound;
}

void entropy_hex(char *out, size_t digits)
{
    for (size_t i = 0; i < digits; i++) {
        out[i] = "0123456789abcdef"[entropy_below(16)];
    }
    out[digits] = '\0';
}
