/* SPDX-License-Identifier: MIT */
#include "store/redis/reply.h"

#include "store/base/mem.h"

#include <stdint.h>

enum {
    BLOCK = 64 * 1024,
    SPARE_MOST = 64,         /* blocks kept for the next reply */
    ELEMENTS_MOST = 1 << 20, /* of all arrays of a reply */
    ALIGN = _Alignof(max_align_t),
};

struct block {
    struct block *older;
    size_t used, size; /* bytes of `room` */
    _Alignas(max_align_t) char room[];
};

struct redis_replies {
    redisReader *reader;
    struct block *blocks; /* of this reply, newest first; never NULL: the oldest stays */
    struct block *spare;  /* of size BLOCK */
    size_t spares;
    size_t elements; /* that this reply has announced */
};

/* The number of elements that hiredis hands to createArray. */
#if HIREDIS_MAJOR >= 1
typedef size_t reply_count;
#else
typedef int reply_count;
#endif

static void push_block(struct redis_replies *replies, size_t least)
{
    size_t size = least > BLOCK ? least : BLOCK;
    struct block *block = replies->spare;
    if (size == BLOCK && block != NULL) {
        replies->spare = block->older;
        replies->spares--;
    } else {
        block = mem_alloc(sizeof(*block) + size);
        block->size = size;
    }
    block->older = replies->blocks;
    block->used = 0;
    replies->blocks = block;
}

static void *room_for(struct redis_replies *replies, size_t size)
{
    size_t need = (size + ALIGN - 1) / ALIGN * ALIGN;
    if (need > replies->blocks->size - replies->blocks->used) {
        push_block(replies, need);
    }
    void *room = replies->blocks->room + replies->blocks->used;
    replies->blocks->used += need;
    return room;
}

/* ------------------------------------------------------------- what the reader calls */

static redisReply *put(const redisReadTask *task, size_t more)
{
    redisReply *reply = room_for(task->privdata, sizeof(*reply) + more);
    memset(reply, 0, sizeof(*reply));
    reply->type = task->type;
    if (task->parent != NULL) {
        ((redisReply *)task->parent->obj)->element[task->idx] = reply;
    }
    return reply;
}

static void *create_string(const redisReadTask *task, char *text, size_t len)
{
    redisReply *reply = put(task, len + 1);
    reply->str = (char *)(reply + 1);
    reply->len = len;
    memcpy(reply->str, text, len);
    reply->str[len] = '\0';
    return reply;
}

/* Room is made for what is announced: a few bytes must not take all memory. */
static void *create_array(const redisReadTask *task, reply_count count)
{
    struct redis_replies *replies = task->privdata;
    size_t elements = count > 0 ? (size_t)count : 0;
    if (elements > ELEMENTS_MOST - replies->elements) {
        return NULL; /* an error of the reader */
    }
    replies->elements += elements;
    redisReply *reply = put(task, 0);
    reply->elements = elements;
    if (elements > 0) {
        reply->element = room_for(replies, elements * sizeof(redisReply *));
        memset(reply->element, 0, elements * sizeof(redisReply *));
    }
    return reply;
}

static void *create_integer(const redisReadTask *task, long long value)
{
    redisReply *reply = put(task, 0);
    reply->integer = value;
    return reply;
}

static void *create_nil(const redisReadTask *task)
{
    redisReply *reply = put(task, 0);
    reply->type = REDIS_REPLY_NIL; /* the task has the type of what is missing */
    return reply;
}

/* Goes with its blocks. */
static void free_object(void *reply)
{
    (void)reply;
}

/* ------------------------------------------------------------------------------------ calls */

struct redis_replies *redis_replies_new(void)
{
    /* What RESP3 has besides is not asked for, and stays NULL: the reader refuses it. */
    static redisReplyObjectFunctions functions = {
        .createString = create_string,
        .createArray = create_array,
        .createInteger = create_integer,
        .createNil = create_nil,
        .freeObject = free_object,
    };
    struct redis_replies *replies = mem_zalloc(sizeof(*replies));
    push_block(replies, BLOCK);
    replies->reader = redisReaderCreateWithFunctions(&functions);
    if (replies->reader == NULL) {
        mem_exhausted(sizeof(redisReader));
    }
    replies->reader->privdata = replies;
    return replies;
}

redisReader *redis_replies_reader(struct redis_replies *replies)
{
    return replies->reader;
}

int redis_replies_next(struct redis_replies *replies, const redisReply **reply)
{
    void *whole = NULL;
    if (redisReaderGetReply(replies->reader, &whole) != REDIS_OK) {
        return -1;
    }
    *reply = whole;
    return whole != NULL;
}

static void drop_spare(struct redis_replies *replies)
{
    struct block *gone = replies->spare;
    replies->spare = gone->older;
    replies->spares--;
    free(gone);
}

/* Large replies seldom come alone, so blocks are kept; those that a reply did not need go, one at a
 * time. */
void redis_replies_done(struct redis_replies *replies)
{
    replies->elements = 0;
    if (replies->spare != NULL) {
        drop_spare(replies);
    }
    while (replies->blocks->older != NULL) {
        struct block *gone = replies->blocks;
        replies->blocks = gone->older;
        if (gone->size == BLOCK && replies->spares < SPARE_MOST) {
            gone->older = replies->spare;
            replies->spare = gone;
            replies->spares++;
        } else {
            free(gone);
        }
    }
    replies->blocks->used = 0;
}

void redis_replies_free(struct redis_replies **replies)
{
    struct redis_replies *gone = *replies;
    if (gone == NULL) {
        return;
    }
    *replies = NULL;
    redis_replies_done(gone);
    while (gone->spare != NULL) {
        drop_spare(gone);
    }
    free(gone->blocks);
    redisReaderFree(gone->reader);
    free(gone);
}
