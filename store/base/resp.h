/* SPDX-License-Identifier: MIT */
/* resp: commands in the form Redis reads: an array of byte strings. */
#ifndef MUSTER_STORE_BASE_RESP_H
#define MUSTER_STORE_BASE_RESP_H

#include "store/base/buf.h"

#include <stdbool.h>
#include <stdint.h>

/* Begins a command of `count` words. */
void resp_command(struct buf *out, size_t count);

void resp_word(struct buf *out, struct span word);
/* One word made of two. */
void resp_joined(struct buf *out, struct span head, struct span rest);
void resp_number(struct buf *out, uint64_t number);

/* Cuts one word, as resp_word writes it, off the front of *rest; false: none stands there. */
bool resp_cut(struct span *rest, struct span *word) __attribute__((warn_unused_result));

#endif
