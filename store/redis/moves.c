/* SPDX-License-Identifier: MIT */
#include "store/redis/moves.h"

#include "store/store_impl.h"

void redis_moves_begin(struct redis_script *call, const struct store *store, const char *verb,
                       struct span token, const struct shard_set *partitions)
{
    struct buf key = {0}, tags = {0};
    buf_printf(&key, "%s:moves", store->prefix);
    for (unsigned p = 0; p < PARTITIONS; p++) {
        if (shard_set_has(partitions, p)) {
            buf_append(&tags, span_str(partition_tag(p)));
        }
    }
    redis_script_begin(call, &lua_moves, buf_span(&key));
    redis_script_word(call, span_str(verb));
    redis_script_word(call, span_str(store->servers));
    redis_script_word(call, span_str(store->change.after));
    redis_script_word(call, token);
    redis_script_number(call, MOVES_HOLD_MS * 1000);
    redis_script_word(call, buf_span(&tags));
    buf_free(&key);
    buf_free(&tags);
}

static enum moves_phase phase_of(struct span word)
{
    return span_eq(word, SPAN("before"))   ? MOVES_BEFORE
           : span_eq(word, SPAN("moving")) ? MOVES_MOVING
           : span_eq(word, SPAN("after"))  ? MOVES_AFTER
                                           : MOVES_UNKNOWN;
}

int redis_moves_read(struct span text, struct redis_moves *moves)
{
    struct span line = span_cut(&text, '\n');
    *moves = (struct redis_moves){.phase = phase_of(span_cut(&line, ' '))};
    for (; line.len > 0; line = span_skip(line, 1)) {
        moves->swept |= line.ptr[0] == 's';
        moves->busy |= line.ptr[0] == 'm';
    }
    for (; text.len >= 3; text = span_skip(text, 3)) {
        struct span tag = span_of(text.ptr + 1, 2);
        int partition = partition_of_tag(tag);
        if (partition >= 0) {
            shard_set_add(text.ptr[0] == 'g' ? &moves->gone : &moves->here, (unsigned)partition);
        }
    }
    return moves->phase != MOVES_UNKNOWN ? 0 : -1;
}
