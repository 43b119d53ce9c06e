/* SPDX-License-Identifier: MIT */
#include "node/core/pool.h"

#include "store/base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    MOST_THREADS = 4,
    POOL_STACK = 512 * 1024, /* bytes */
    POOL_NICE = 10,          /* a tenth of what the loop has where there is not enough for both */
    ANSWERS_US = 250,        /* of a turn, for calls of done() */
};

struct job_pool {
    struct loop *loop;
    struct event *event; /* of `ready`; NULL: there are no threads yet */
    int ready;           /* an eventfd: jobs are done */
    unsigned wanted, most, count;
    pthread_t threads[MOST_THREADS];
    unsigned running;
    struct list answers; /* struct pool_job: the loop's own, taken from `finished` */
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct list waiting, finished; /* struct pool_job; these and `ending` under the lock */
    bool ending;
};

/* ---------------------------------------------------------------------------------- a thread */

/* The next job to work on, waited for; NULL: the pool ends. */
static struct pool_job *next_job(struct job_pool *pool)
{
    struct pool_job *job = NULL;
    pthread_mutex_lock(&pool->lock);
    while (!pool->ending && list_empty(&pool->waiting)) {
        pthread_cond_wait(&pool->work, &pool->lock);
    }
    if (!pool->ending) {
        job = LIST_ITEM(pool->waiting.next, struct pool_job, entry);
        list_del(&job->entry);
    }
    pthread_mutex_unlock(&pool->lock);
    return job;
}

static void hand_back(struct job_pool *pool, struct pool_job *job)
{
    const uint64_t one = 1;
    pthread_mutex_lock(&pool->lock);
    bool first = list_empty(&pool->finished);
    list_push_back(&pool->finished, &job->entry);
    pthread_mutex_unlock(&pool->lock);
    if (first) {
        ssize_t ignored = write(pool->ready, &one, sizeof(one)); /* it cannot be full */
        (void)ignored;
    }
}

static void *run_thread(void *arg)
{
    struct job_pool *pool = arg;
    struct pool_job *job;
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), POOL_NICE);
    while ((job = next_job(pool)) != NULL) {
        job->work(job);
        hand_back(pool, job);
    }
    return NULL;
}

/* ---------------------------------------------------------------------------------- the loop */

static void take_finished(struct job_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    list_splice(&pool->answers, &pool->finished);
    pthread_mutex_unlock(&pool->lock);
}

static void answer(struct job_pool *pool, struct list *jobs, bool worked)
{
    struct pool_job *job = LIST_ITEM(jobs->next, struct pool_job, entry);
    list_del(&job->entry);
    pool->count--;
    job->done(job, worked);
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
    struct job_pool *pool = arg;
    uint64_t count;
    (void)what;
    loop_awake(pool->loop);
    ssize_t ignored = read(fd, &count, sizeof(count));
    (void)ignored;
    take_finished(pool);
    uint64_t until_us = loop_turn_us(pool->loop) + ANSWERS_US;
    bool first = true;
    while (!list_empty(&pool->answers) && (first || loop_turn_us(pool->loop) < until_us)) {
        answer(pool, &pool->answers, true);
        first = false;
    }
    if (!list_empty(&pool->answers)) {
        const uint64_t one = 1;
        ignored = write(pool->ready, &one, sizeof(one)); /* the rest in the next turn */
    }
}

/* Signals are the loop's. */
static void start_thread(struct job_pool *pool, const pthread_attr_t *attributes)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&pool->threads[pool->running], attributes, run_thread, pool) == 0) {
        pool->running++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* false: the system gives not one thread. */
static bool start(struct job_pool *pool)
{
    pthread_attr_t attributes;
    if (pool->event == NULL) {
        pool->ready = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (pool->ready < 0) {
            return false;
        }
        pool->event =
            event_new(loop_base(pool->loop), pool->ready, EV_READ | EV_PERSIST, on_ready, pool);
        event_add(pool->event, NULL);
    }
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, POOL_STACK);
    while (pool->running < pool->wanted) {
        unsigned before = pool->running;
        start_thread(pool, &attributes);
        if (pool->running == before) {
            break;
        }
    }
    pthread_attr_destroy(&attributes);
    return pool->running > 0;
}

struct job_pool *pool_new(struct loop *loop, unsigned threads, unsigned most)
{
    struct job_pool *pool = mem_zalloc(sizeof(*pool));
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned wanted = threads > 0 ? threads : processors > 3 ? (unsigned)processors - 1 : 2;
    pool->loop = loop;
    pool->wanted = wanted < MOST_THREADS ? wanted : MOST_THREADS;
    pool->most = most;
    pool->ready = -1;
    list_init(&pool->answers);
    list_init(&pool->waiting);
    list_init(&pool->finished);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    return pool;
}

int pool_do(struct job_pool *pool, struct pool_job *job)
{
    if (pool->count >= pool->most || (pool->running < pool->wanted && !start(pool))) {
        return -1;
    }
    pool->count++;
    pthread_mutex_lock(&pool->lock);
    list_push_back(&pool->waiting, &job->entry);
    pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    return 0;
}

static void end_threads(struct job_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->running; i++) {
        pthread_join(pool->threads[i], NULL);
    }
}

void pool_free(struct job_pool **pool)
{
    struct job_pool *gone = *pool;
    if (gone == NULL) {
        return;
    }
    end_threads(gone);
    list_splice(&gone->answers, &gone->finished);
    while (!list_empty(&gone->answers)) {
        answer(gone, &gone->answers, true);
    }
    while (!list_empty(&gone->waiting)) {
        answer(gone, &gone->waiting, false);
    }
    if (gone->event != NULL) {
        event_free(gone->event);
        close(gone->ready);
    }
    pthread_cond_destroy(&gone->work);
    pthread_mutex_destroy(&gone->lock);
    free(gone);
    *pool = NULL;
}
