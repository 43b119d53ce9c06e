/* SPDX-License-Identifier: MIT */
#include "store/redis/roll.h"

#include "store/base/decimal.h"
#include "store/redis/scripts.h"
#include "store/store_impl.h"

void redis_roll_begin(struct redis_script *call, const struct store *store, unsigned shard,
                      enum roll_verb verb)
{
    struct buf key = {0};
    store_shard_key(store, shard, "roll", &key);
    redis_script_begin(call, &lua_roll, buf_span(&key));
    buf_free(&key);
    redis_script_word(call, verb == ROLL_BE_IN ? SPAN("+")
                            : verb == ROLL_ASK ? SPAN("?")
                                               : SPAN("-"));
    redis_script_word(call, span_str(store->node));
    redis_script_number(call, (uint64_t)store->lease_ms * 1000);
    redis_script_number(call, store_wire_on_rolls(store));
    redis_script_number(call, store->wire.from);
    redis_script_number(call, store->wire_most);
    redis_script_word(call, span_str(store->servers));
    if (store->change.after != NULL) {
        redis_script_word(call, span_str(store->change.before));
        redis_script_word(call, span_str(store->change.after));
        redis_script_number(call, shard_set_has(&store->change.was, shard));
        redis_script_number(call, store->change.done);
    }
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static unsigned greatest(unsigned a, unsigned b)
{
    return a > b ? a : b;
}

/* "count writes from to", and what later versions say behind it */
static void take_words(struct redis_roll *roll, struct span words)
{
    uint64_t number[4] = {0};
    for (size_t i = 0; i < 4; i++) {
        if (!decimal_read(span_cut(&words, ' '), UINT32_MAX, &number[i])) {
            return;
        }
    }
    bool first = roll->nodes == 0;
    roll->nodes += (unsigned)number[0];
    roll->writes = greatest(roll->writes, (unsigned)number[1]);
    roll->from = first ? (unsigned)number[2] : least(roll->from, (unsigned)number[2]);
    roll->to = greatest(roll->to, (unsigned)number[3]);
    roll->shared = first ? (unsigned)number[3] : least(roll->shared, (unsigned)number[3]);
}

enum roll_answer redis_roll_read(struct span text, struct redis_roll *roll)
{
    *roll = (struct redis_roll){0};
    char verdict = text.len > 0 ? text.ptr[0] : '-';
    struct span rest = span_skip(text, text.len > 0 ? 1 : 0);
    if (verdict == '!') {
        roll->list = rest;
        return ROLL_OTHER_LIST;
    }
    while (rest.len > 0) {
        take_words(roll, span_cut(&rest, ';'));
    }
    return verdict == '+' ? ROLL_WELCOME : verdict == '=' ? ROLL_LATER : ROLL_NEVER;
}

static void print_range(struct buf *out, unsigned from, unsigned to)
{
    buf_printf(out, from == to ? "%u" : "%u to %u", from, to);
}

void redis_roll_print(const struct redis_roll *roll, const struct store *store, struct buf *out)
{
    if (roll->list.len > 0) {
        buf_printf(out, "the fleet has the servers %.*s, this node %s", SPAN_ARG(roll->list),
                   store->servers);
        return;
    }
    buf_append(out, SPAN("the fleet speaks "));
    print_range(out, roll->from, roll->to);
    buf_append(out, SPAN(", this node "));
    print_range(out, store->wire.from, store->wire_most);
}

/* Another form of the wire, or an older one that is about to be written again for this node. */
static void turn_away(const struct redis_roll *roll, enum roll_answer answer, struct store *store,
                      unsigned shard, struct buf *text)
{
    if (roll->nodes == 0 && roll->list.len == 0) {
        buf_append(text, SPAN("the roll of the server cannot be read"));
    } else {
        redis_roll_print(roll, store, text);
    }
    if (answer != ROLL_LATER) {
        store_on_refusal(store, shard, buf_text(text));
    }
    if (answer == ROLL_NEVER) {
        store_on_unread(store, WIRE_NODE, buf_text(text));
    }
}

bool redis_roll_take(const struct redis_roll *roll, enum roll_answer answer, bool is_in,
                     struct store *store, unsigned shard, struct buf *refusal)
{
    struct buf text = {0};
    redis_roll_print(roll, store, &text);
    store_on_roll(store, shard, roll->shared, roll->nodes > 0 ? buf_text(&text) : NULL);
    buf_free(&text);
    if (answer != ROLL_WELCOME && (answer != ROLL_LATER || !is_in)) {
        turn_away(roll, answer, store, shard, refusal);
        return false;
    }
    store_on_refusal(store, shard, NULL);
    if (store_refusal(store) != NULL) {
        /* One that is refused by one server uses none. */
        buf_append(refusal, span_str(store_refusal(store)));
        return false;
    }
    return true;
}
