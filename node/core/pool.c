/* SPDX-License-Identifier: MIT */
/* Jobs go to the threads by one pipe and come back by another, as pointers: writes of so few bytes are whole. So
 * the loop takes no lock, and never waits for a thread that has one and no processor. */
#include "node/core/pool.h"

#include "store/base/clock.h"
#include "store/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    MOST_THREADS = 4,
    POOL_STACK = 512 * 1024, /* bytes */
    POOL_NICE = 10,          /* a tenth of what the loop has where there is not enough for both, */
    POOL_SHARE = 10,         /* which they also keep where they give way, */
    POOL_LEAST_US = 30,      /* and so much at least */
    ANSWERS_US = 60,         /* of a turn, for calls of done() */
};

/* Neither end is inherited. */
struct pipe_ends {
    int read, write;
};

struct job_pool {
    struct loop *loop;
    struct event *event; /* of `finished`; NULL: there are no threads yet */
    unsigned wanted, most, count;
    pthread_t threads[MOST_THREADS];
    unsigned running;
    struct pipe_ends
        waiting; /* struct pool_job *; the threads wait to read, the loop never to write */
    struct pipe_ends finished; /* the other way round */
    atomic_bool ending;
};

/* ---------------------------------------------------------------------------------- a thread */

static _Thread_local struct {
    bool works;       /* it is one of the pool's */
    uint64_t next_us; /* monotonic: it has not had its share before */
} thread;

/* The kernel takes a processor away from who runs at a tick only, up to 4 ms after the loop woke and wants it. */
void pool_give_way(void)
{
    uint64_t now_us = thread.works ? clock_monotonic_us() : 0;
    if (!thread.works || now_us < thread.next_us) {
        return;
    }
    sched_yield();
    uint64_t back_us = clock_monotonic_us(), share_us = (back_us - now_us) / POOL_SHARE;
    thread.next_us = back_us + (share_us > POOL_LEAST_US ? share_us : POOL_LEAST_US);
}

static void *run_thread(void *arg)
{
    struct job_pool *pool = arg;
    struct pool_job *job;
    thread.works = true;
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), POOL_NICE);
    while (read(pool->waiting.read, &job, sizeof(job)) == (ssize_t)sizeof(job)) {
        job->worked = !atomic_load(&pool->ending);
        if (job->worked) {
            job->work(job);
        }
        ssize_t ignored = write(pool->finished.write, &job, sizeof(job));
        (void)ignored;
        pool_give_way();
    }
    return NULL;
}

/* ---------------------------------------------------------------------------------- the loop */

/* false: none is finished. */
static bool answer_one(struct job_pool *pool)
{
    struct pool_job *job;
    if (read(pool->finished.read, &job, sizeof(job)) != (ssize_t)sizeof(job)) {
        return false;
    }
    pool->count--;
    job->done(job, job->worked);
    return true;
}

/* What there is no time for comes in the next turn. */
static void on_finished(evutil_socket_t fd, short what, void *arg)
{
    struct job_pool *pool = arg;
    (void)fd, (void)what;
    loop_awake(pool->loop);
    uint64_t until_us = loop_turn_us(pool->loop) + ANSWERS_US;
    while (answer_one(pool) && loop_turn_us(pool->loop) < until_us) {
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

static bool open_pipe(struct pipe_ends *ends)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) {
        return false;
    }
    *ends = (struct pipe_ends){.read = fds[0], .write = fds[1]};
    return true;
}

static void close_pipe(struct pipe_ends *ends)
{
    close(ends->read);
    close(ends->write);
}

static bool open_pipes(struct job_pool *pool)
{
    if (!open_pipe(&pool->waiting)) {
        return false;
    }
    if (!open_pipe(&pool->finished)) {
        close_pipe(&pool->waiting);
        return false;
    }
    fcntl(pool->waiting.write, F_SETFL, O_NONBLOCK);
    fcntl(pool->finished.read, F_SETFL, O_NONBLOCK);
    return true;
}

/* false: the system gives not one thread. */
static bool start(struct job_pool *pool)
{
    pthread_attr_t attributes;
    if (pool->event == NULL) {
        if (!open_pipes(pool)) {
            return false;
        }
        pool->event = event_new(loop_base(pool->loop), pool->finished.read, EV_READ | EV_PERSIST,
                                on_finished, pool);
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
    return pool;
}

int pool_do(struct job_pool *pool, struct pool_job *job)
{
    if (pool->count >= pool->most || (pool->running < pool->wanted && !start(pool))) {
        return -1;
    }
    if (write(pool->waiting.write, &job, sizeof(job)) != (ssize_t)sizeof(job)) {
        return -1;
    }
    pool->count++;
    return 0;
}

static void answer_all(struct job_pool *pool)
{
    struct pollfd finished = {.fd = pool->finished.read, .events = POLLIN};
    while (pool->count > 0 && (poll(&finished, 1, -1) >= 0 || errno == EINTR)) {
        answer_one(pool);
    }
}

static void end_threads(struct job_pool *pool)
{
    close(pool->waiting.write);
    for (unsigned i = 0; i < pool->running; i++) {
        pthread_join(pool->threads[i], NULL);
    }
    close(pool->waiting.read);
}

void pool_free(struct job_pool **pool)
{
    struct job_pool *gone = *pool;
    if (gone == NULL) {
        return;
    }
    if (gone->event != NULL) {
        atomic_store(&gone->ending, true);
        answer_all(gone);
        end_threads(gone);
        event_free(gone->event);
        close_pipe(&gone->finished);
    }
    free(gone);
    *pool = NULL;
}
