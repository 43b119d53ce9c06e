/* SPDX-License-Identifier: MIT */
/*     <prefix>:{t}:s           hash of a part of the stream (stream_append.lua)
 *     <prefix>:{t}:s:<lane>    the lane: entries <seq>-<ordinal>: tag -> payload, node -> "call.index" */
#include "store/redis/stream.h"

#include "store/base/decimal.h"
#include "store/base/resp.h"
#include "store/redis/reply.h"
#include "store/redis/script.h"
#include "store/redis/scripts.h"
#include "store/store_impl.h"
#include "store/stream_call.h"
#include "store/stream_part.h"

#include <inttypes.h>

#define STREAM_FORM "1" /* as stream_append.lua writes it */

struct query {
    const struct redis_route *route;
    uint64_t lanes; /* a bit for each that was asked for */
    unsigned lane;  /* of a read backwards, whose answer names none */
    bool back;
    stream_read_fn *fn;
    void *arg;
    struct stream_entry *entries;
    size_t count, cap;
    struct stream_head head;
    char *was, *forks; /* what `head` has */
    bool unread;       /* the stream is in another form of the wire */
    unsigned left;     /* answers that it waits for; one that ends the link is the last */
};

static void put_key(const struct redis_route *route, unsigned part, struct buf *out)
{
    buf_printf(out, "%s:{%s}:s", route->store->prefix, partition_tag(stream_part_partition(part)));
}

static void begin(struct redis_script *call, const struct redis_route *route, unsigned part,
                  const struct redis_lua *lua)
{
    struct buf key = {0};
    put_key(route, part, &key);
    redis_script_begin(call, lua, buf_span(&key));
    buf_free(&key);
}

int redis_stream_append(const struct redis_route *route, const struct stream_call *call,
                        backend_answer_fn *fn, void *arg)
{
    struct redis_script script;
    begin(&script, route, call->part, &lua_stream_append);
    redis_script_number(&script, call->limits->lanes);
    redis_script_number(&script, call->limits->entries);
    redis_script_number(&script, call->limits->refuse);
    redis_script_word(&script, call->node);
    redis_script_number(&script, call->number);
    redis_script_number(&script, call->before);
    redis_script_word(&script, redis_route_timeline(route));
    redis_script_number(&script, call->seen);
    redis_script_word(&script, call->identity);
    redis_script_word(&script, call->fresh);
    redis_script_number(&script, call->part);
    redis_script_number(&script, stream_part_step(call->part));
    redis_script_number(&script, call->spread ? STREAM_PARTS : 1);
    LIST_EACH(it, call->groups) {
        const struct stream_group *group = CONTAINER_OF(it, struct stream_group, entry);
        redis_script_number(&script, group->count);
        redis_script_number(&script, group->first);
        if (group->items != NULL) {
            redis_script_share(&script, group->items, STREAM_ITEM_WORDS * group->count);
        }
    }
    return redis_script_run(&script, route, fn, arg);
}

int redis_stream_state(const struct redis_route *route, const struct stream_marks *marks,
                       backend_answer_fn *fn, void *arg)
{
    const struct stream_ask *ask = marks->ask;
    struct redis_script script;
    begin(&script, route, marks->part, &lua_stream_state);
    redis_script_number(&script, ask->keep);
    redis_script_number(&script, (uint64_t)ask->keep_ms * 1000);
    redis_script_number(&script, STREAM_KEEP_MOST);
    redis_script_number(&script, ask->sink ? STREAM_SINK_SECONDS : 0);
    redis_script_number(&script, ask->seen);
    redis_script_word(&script, ask->identity);
    redis_script_word(&script, marks->fresh);
    redis_script_number(&script, ask->writers);
    redis_script_word(&script, span_str(route->store->node));
    redis_script_number(&script, marks->part);
    redis_script_number(&script, stream_part_step(marks->part));
    for (size_t i = 0; i < ask->count; i++) {
        redis_script_number(&script, ask->marks[i].lane);
        redis_script_number(&script, ask->marks[i].seq);
        redis_script_number(&script, ask->marks[i].ordinal);
        redis_script_word(&script, span_str(ask->marks[i].history.identity));
        redis_script_word(&script, span_str(ask->marks[i].history.timeline));
    }
    return redis_script_run(&script, route, fn, arg);
}

int redis_stream_parts(const struct redis_route *route, backend_answer_fn *fn, void *arg)
{
    struct redis_script script;
    struct buf key = {0};
    begin(&script, route, 0, &lua_stream_parts);
    for (unsigned part = 1; part < STREAM_PARTS; part++) {
        key.len = 0;
        put_key(route, part, &key);
        redis_script_word(&script, buf_span(&key));
        script.more_keys++;
    }
    buf_free(&key);
    return redis_script_run(&script, route, fn, arg);
}

/* ------------------------------------------------------------------------------------ reading */

static bool is_array(const redisReply *reply, size_t least)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements >= least;
}

/* Cuts a number and what follows it, up to and with the `end` byte, off *rest; 0 where none stands. */
static uint64_t number_cut(struct span *rest, char end)
{
    uint64_t number;
    return decimal_read(span_cut(rest, end), UINT64_MAX, &number) ? number : 0;
}

/* [tag, payload, node, "call.index"]; the writer is missing in entries of version 0.1.0. */
static void take_writer(struct stream_entry *entry, const redisReply *fields)
{
    entry->node = span_of(NULL, 0);
    entry->call = entry->index = 0;
    if (is_array(fields, 4)) {
        struct span numbers = redis_reply_text(fields->element[3]);
        entry->node = redis_reply_text(fields->element[2]);
        entry->call = number_cut(&numbers, '.');
        entry->index = (uint32_t)number_cut(&numbers, '.');
    }
}

/* [[id, [tag, payload, ...]], ...]; an entry that was cut out of the middle by hand is passed over. */
static void take_lane(struct query *query, unsigned lane, const redisReply *list)
{
    for (size_t i = 0; is_array(list, 1) && i < list->elements; i++) {
        const redisReply *one = list->element[i];
        if (!is_array(one, 2) || !is_array(one->element[1], 2)) {
            continue;
        }
        if (query->count == query->cap) {
            query->cap = query->cap > 0 ? query->cap * 2 : 64;
            query->entries = mem_realloc(query->entries, query->cap * sizeof(*query->entries));
        }
        struct stream_entry *entry = &query->entries[query->count++];
        struct span id = redis_reply_text(one->element[0]);
        entry->lane = lane;
        entry->seq = number_cut(&id, '-');
        entry->ordinal = number_cut(&id, '-');
        entry->tag = redis_reply_text(one->element[1]->element[0]);
        entry->payload = redis_reply_text(one->element[1]->element[1]);
        take_writer(entry, one->element[1]);
    }
}

/* The number behind the last colon of a lane's key. false: it is none that was asked for. */
static bool lane_of_key(const struct query *query, const redisReply *key, unsigned *lane)
{
    const char *colon = key->type == REDIS_REPLY_STRING ? strrchr(key->str, ':') : NULL;
    uint64_t number;
    if (colon == NULL || !decimal_read(span_str(colon + 1), STREAM_LANES_MOST - 1, &number)) {
        return false;
    }
    *lane = (unsigned)number;
    return (query->lanes >> number & 1) != 0;
}

static void query_free(struct query *query)
{
    free(query->entries);
    free(query->was);
    free(query->forks);
    free(query);
}

static void query_answered(struct query *query)
{
    query->left--;
    if (query->left == 0) {
        query_free(query);
    }
}

/* [id, t, was, forks, v], asked before the lanes and in one write with them: what is read after it is
 * of that history. */
static void on_head(void *arg, const redisReply *reply)
{
    struct query *query = arg;
    if (redis_route_check(query->route, reply) && is_array(reply, 5)) {
        struct span timeline = redis_reply_text(reply->element[1]);
        bool named = redis_reply_text(reply->element[0]).len > 0;
        query->unread = named && !span_eq(redis_reply_text(reply->element[4]), SPAN(STREAM_FORM));
        stream_name_set(query->head.history.identity, redis_reply_text(reply->element[0]));
        stream_name_set(query->head.history.timeline, timeline.len > 0 ? timeline : SPAN("-"));
        query->was = mem_dup(redis_reply_text(reply->element[2]));
        query->forks = mem_dup(redis_reply_text(reply->element[3]));
        query->head.was = span_str(query->was);
        query->head.forks = span_str(query->forks);
    }
    query_answered(query);
}

static void on_read(void *arg, const redisReply *reply)
{
    struct query *query = arg;
    bool ok = redis_route_check(query->route, reply) && !query->unread;
    if (query->unread) {
        store_on_unread(query->route->store, WIRE_KEY,
                        "WIRE: the log stream is in a form that this node does not read");
    }
    if (ok && query->back) {
        take_lane(query, query->lane, reply);
    } else if (ok && reply->type == REDIS_REPLY_ARRAY) {
        for (size_t i = 0; i < reply->elements; i++) {
            const redisReply *one = reply->element[i];
            unsigned lane;
            if (is_array(one, 2) && lane_of_key(query, one->element[0], &lane)) {
                take_lane(query, lane, one->element[1]);
            }
        }
    }
    query->fn(query->arg, ok, &query->head, query->entries, query->count);
    query_answered(query);
}

static int ask_head(const struct redis_route *route, unsigned part, struct query *query)
{
    static const char *const fields[] = {"id", "t", "was", "forks", "v"};
    struct buf command = {0}, key = {0};
    put_key(route, part, &key);
    resp_command(&command, 2 + sizeof(fields) / sizeof(fields[0]));
    resp_word(&command, SPAN("HMGET"));
    resp_word(&command, buf_span(&key));
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        resp_word(&command, span_str(fields[i]));
    }
    int sent = redis_route_command(route, buf_span(&key), buf_span(&command), PATIENCE_NONE,
                                   on_head, query);
    buf_free(&command);
    buf_free(&key);
    return sent;
}

static void put_lane_key(const struct redis_route *route, unsigned part, unsigned lane,
                         struct buf *command, struct buf *word)
{
    word->len = 0;
    put_key(route, part, word);
    buf_printf(word, ":%u", lane);
    resp_word(command, buf_span(word));
}

/* XREVRANGE key last - COUNT most */
static void put_back(const struct redis_route *route, const struct stream_query *query,
                     struct buf *command, struct buf *word)
{
    resp_command(command, 6);
    resp_word(command, SPAN("XREVRANGE"));
    put_lane_key(route, query->part, query->from->lane, command, word);
    word->len = 0; /* a seq alone means its last entry here */
    buf_printf(word, "%" PRIu64, query->from->after);
    resp_word(command, buf_span(word));
    resp_word(command, SPAN("-"));
    resp_word(command, SPAN("COUNT"));
    resp_number(command, query->most);
}

/* XREAD COUNT most STREAMS key... after... : each after the last entry that `after` can name */
static void put_forth(const struct redis_route *route, const struct stream_query *query,
                      struct buf *command, struct buf *word)
{
    resp_command(command, 4 + 2 * query->lanes);
    resp_word(command, SPAN("XREAD"));
    resp_word(command, SPAN("COUNT"));
    resp_number(command, query->most);
    resp_word(command, SPAN("STREAMS"));
    for (size_t i = 0; i < query->lanes; i++) {
        put_lane_key(route, query->part, query->from[i].lane, command, word);
    }
    for (size_t i = 0; i < query->lanes; i++) {
        word->len = 0;
        buf_printf(word, "%" PRIu64 "-18446744073709551615", query->from[i].after);
        resp_word(command, buf_span(word));
    }
}

int redis_stream_read(const struct redis_route *route, const struct stream_query *query,
                      stream_read_fn *fn, void *arg)
{
    struct buf command = {0}, word = {0};
    struct query *kept = mem_zalloc(sizeof(*kept));
    kept->route = route;
    kept->lane = query->from->lane;
    for (size_t i = 0; i < query->lanes; i++) {
        kept->lanes |= UINT64_C(1) << query->from[i].lane;
    }
    kept->back = query->back;
    kept->fn = fn;
    kept->arg = arg;
    (query->back ? put_back : put_forth)(route, query, &command, &word);
    int sent = ask_head(route, query->part, kept);
    if (sent != 0) {
        query_free(kept);
    } else {
        word.len = 0;
        put_key(route, query->part, &word);
        sent = redis_route_command(route, buf_span(&word), buf_span(&command), PATIENCE_NONE,
                                   on_read, kept);
        kept->left = sent == 0 ? 2 : 1; /* of the head alone: no caller waits */
    }
    buf_free(&command);
    buf_free(&word);
    return sent;
}
