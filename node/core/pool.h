/* SPDX-License-Identifier: MIT */
/* pool: a few threads for work that would hold up the loop: signatures, large documents. They hold no
 * state and see nothing but what a job gives them; the answer comes back as an event of the loop.
 *
 *     loop: pool_do --> line, bounded --> thread: work() --> loop: done()
 *
 * The threads start with the first job, and give way to the loop. */
#ifndef MUSTER_NODE_CORE_POOL_H
#define MUSTER_NODE_CORE_POOL_H

#include "node/core/loop.h"

#include <stdbool.h>

struct job_pool;

/* Lives in its owner's object, until done() was called. */
struct pool_job {
    /* In a thread: may touch only what belongs to this job, or is changed by nobody meanwhile. */
    void (*work)(struct pool_job *job);
    /* In the loop, once, never from inside pool_do. `worked` is false when the pool ends before
     * work() began. */
    void (*done)(struct pool_job *job, bool worked);
    bool worked; /* the pool's own */
};

/* New: so many threads, 0: one less than there are processors, from two to four; and at most `most`
 * jobs that wait or are worked on (fewer, where a pipe has no room for as many). `loop` is borrowed for its
 * life. */
struct job_pool *pool_new(struct loop *loop, unsigned threads, unsigned most);

/* Waits for the jobs under way; done() is called for all that there are. */
void pool_free(struct job_pool **pool);

/* Takes the job, or -1 where there are too many. */
int pool_do(struct job_pool *pool, struct pool_job *job) __attribute__((warn_unused_result));

/* Called by work() that takes long, some 100 us of work apart or less: who waits for this processor goes
 * first, unless that left less than a tenth of it. Between two jobs the pool does that itself. It does nothing in
 * other threads. */
void pool_give_way(void);

#endif
