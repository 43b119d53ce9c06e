/* SPDX-License-Identifier: MIT */
#include "store/resolver/resolver.h"

#include "store/base/clock.h"
#include "store/base/list.h"
#include "store/base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    THREADS_MOST = 8,
    STACK_BYTES = 256 * 1024, /* modules of the system's name service want some */
    RESOLVER_KEPT_MS = 10000, /* an answer that came when nobody asked any more */
};

/* The loop's, but for `way` and what a thread fills in while it has the job. */
struct job {
    struct list entry; /* in resolver->jobs */
    struct list way;   /* in the crew's queue, or among what is done */
    struct list queries;
    bool running; /* a thread's; guarded by the crew's lock */
    bool over;    /* the answer is here */
    uint64_t over_ms;
    struct addrinfo *found;
    char why[128];
    char host[];
};

/* What loop and threads share; the last of them frees it. */
struct crew {
    pthread_mutex_t lock;
    unsigned users; /* the resolver, and each thread */
    unsigned threads;
    bool closed;
    int wake; /* eventfd */
    struct list queue, done;
};

struct resolver {
    struct event *woken;
    struct list jobs;
    struct crew *crew;
};

struct resolver_query {
    struct list entry;
    resolver_fn *fn;
    void *arg;
};

static void job_free(struct job *job)
{
    if (job->found != NULL) {
        freeaddrinfo(job->found);
    }
    free(job);
}

/* With the lock held, which it lets go. */
static void leave_crew(struct crew *crew)
{
    bool last = --crew->users == 0;
    pthread_mutex_unlock(&crew->lock);
    if (last) {
        close(crew->wake);
        pthread_mutex_destroy(&crew->lock);
        free(crew);
    }
}

/* ------------------------------------------------------------------------------------- threads */

static void look_up(struct job *job)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    char text[96];
    errno = 0;
    int error = getaddrinfo(job->host, NULL, &hints, &job->found);
    if (error == 0) {
        return;
    }
    job->found = NULL;
    snprintf(job->why, sizeof(job->why), "%s",
             error == EAI_SYSTEM ? strerror_r(errno, text, sizeof(text)) : gai_strerror(error));
}

/* With the lock held. */
static void hand_in(struct crew *crew, struct job *job)
{
    const uint64_t one = 1;
    list_push_back(&crew->done, &job->way);
    if (write(crew->wake, &one, sizeof(one)) < 0) {
        return; /* it is awake already: the counter is full */
    }
}

static struct job *take_job(struct crew *crew)
{
    if (crew->closed || list_empty(&crew->queue)) {
        return NULL;
    }
    struct job *job = LIST_ITEM(crew->queue.next, struct job, way);
    list_del(&job->way);
    job->running = true;
    return job;
}

static void *work(void *arg)
{
    struct crew *crew = arg;
    struct job *job;
    pthread_mutex_lock(&crew->lock);
    while ((job = take_job(crew)) != NULL) {
        pthread_mutex_unlock(&crew->lock);
        look_up(job);
        pthread_mutex_lock(&crew->lock);
        job->running = false;
        if (crew->closed) {
            job_free(job);
        } else {
            hand_in(crew, job);
        }
    }
    crew->threads--;
    leave_crew(crew);
    return NULL;
}

/* Signals are the loop's. */
static int start_thread(struct crew *crew)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread, &attributes, work, crew);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

/* A job that no thread can be had for ends with the reason. */
static void submit(struct crew *crew, struct job *job)
{
    int error = 0;
    pthread_mutex_lock(&crew->lock);
    list_push_back(&crew->queue, &job->way);
    if (crew->threads < THREADS_MOST && (error = start_thread(crew)) == 0) {
        crew->threads++;
        crew->users++;
    }
    if (error != 0 && crew->threads == 0) {
        snprintf(job->why, sizeof(job->why), "no thread to look it up with: %s", strerror(error));
        list_del(&job->way);
        hand_in(crew, job);
    }
    pthread_mutex_unlock(&crew->lock);
}

/* ------------------------------------------------------------------------------------ the loop */

static void drop_job(struct job *job)
{
    list_del(&job->entry);
    job_free(job);
}

/* Takes over what threads have done. */
static void take_done(struct resolver *resolver)
{
    struct crew *crew = resolver->crew;
    uint64_t now = clock_monotonic_ms(), count;
    if (read(crew->wake, &count, sizeof(count)) < 0) {
        count = 0; /* woken by resolver_ask */
    }
    pthread_mutex_lock(&crew->lock);
    while (!list_empty(&crew->done)) {
        struct job *job = LIST_ITEM(crew->done.next, struct job, way);
        list_del(&job->way);
        job->over = true;
        job->over_ms = now;
    }
    pthread_mutex_unlock(&crew->lock);
}

/* The first one that is over and waited for. An error is not kept for askers that come later. */
static struct job *deliverable(struct resolver *resolver)
{
    uint64_t now = clock_monotonic_ms();
    LIST_EACH(it, &resolver->jobs) {
        struct job *job = LIST_ITEM(it, struct job, entry);
        if (job->over && !list_empty(&job->queries)) {
            return job;
        }
        if (job->over && (job->found == NULL || now - job->over_ms > RESOLVER_KEPT_MS)) {
            drop_job(job);
        }
    }
    return NULL;
}

/* An asker inside a call gets a look-up of its own. */
static void deliver(struct job *job)
{
    list_del(&job->entry);
    while (!list_empty(&job->queries)) {
        struct resolver_query query = *LIST_ITEM(job->queries.next, struct resolver_query, entry);
        struct resolver_query *gone = LIST_ITEM(job->queries.next, struct resolver_query, entry);
        list_del(&gone->entry);
        free(gone);
        query.fn(query.arg, job->found, job->why);
    }
    job_free(job);
}

static void on_woken(evutil_socket_t fd, short what, void *arg)
{
    struct resolver *resolver = arg;
    struct job *job;
    (void)fd, (void)what;
    take_done(resolver);
    while ((job = deliverable(resolver)) != NULL) {
        deliver(job);
    }
}

static struct job *find_job(struct resolver *resolver, const char *host)
{
    LIST_EACH(it, &resolver->jobs) {
        struct job *job = LIST_ITEM(it, struct job, entry);
        bool old = job->over && clock_monotonic_ms() - job->over_ms > RESOLVER_KEPT_MS;
        if (old && list_empty(&job->queries)) {
            drop_job(job);
        } else if (strcmp(job->host, host) == 0) {
            return job;
        }
    }
    return NULL;
}

static struct job *new_job(struct resolver *resolver, const char *host)
{
    size_t size = strlen(host) + 1;
    struct job *job = mem_zalloc(sizeof(*job) + size);
    memcpy(job->host, host, size);
    list_init(&job->queries);
    list_push_back(&resolver->jobs, &job->entry);
    submit(resolver->crew, job);
    return job;
}

struct resolver_query *resolver_ask(struct resolver *resolver, const char *host, resolver_fn *fn,
                                    void *arg)
{
    struct resolver_query *query = mem_zalloc(sizeof(*query));
    struct job *job = find_job(resolver, host);
    query->fn = fn;
    query->arg = arg;
    if (job == NULL) {
        job = new_job(resolver, host);
    }
    list_push_back(&job->queries, &query->entry);
    if (job->over) {
        event_active(resolver->woken, EV_READ, 0);
    }
    return query;
}

void resolver_cancel(struct resolver_query **query)
{
    if (*query != NULL) {
        list_del(&(*query)->entry);
        free(*query);
        *query = NULL;
    }
}

socklen_t resolver_pick(const struct addrinfo *found, unsigned pick, uint16_t port,
                        struct sockaddr_storage *out)
{
    unsigned count = 0;
    for (const struct addrinfo *it = found; it != NULL; it = it->ai_next) {
        count++;
    }
    for (unsigned skip = pick % count; skip > 0; skip--) {
        found = found->ai_next;
    }
    memset(out, 0, sizeof(*out));
    memcpy(out, found->ai_addr, found->ai_addrlen);
    if (found->ai_family == AF_INET6) {
        ((struct sockaddr_in6 *)out)->sin6_port = htons(port);
    } else {
        ((struct sockaddr_in *)out)->sin_port = htons(port);
    }
    return found->ai_addrlen;
}

/* --------------------------------------------------------------------------------------- life */

struct resolver *resolver_new(struct event_base *base)
{
    struct resolver *resolver = mem_zalloc(sizeof(*resolver));
    struct crew *crew = mem_zalloc(sizeof(*crew));
    pthread_mutex_init(&crew->lock, NULL);
    crew->users = 1;
    crew->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (crew->wake < 0) {
        fprintf(stderr, "muster: no descriptor for the resolver: %s\n", strerror(errno));
        abort();
    }
    list_init(&crew->queue);
    list_init(&crew->done);
    list_init(&resolver->jobs);
    resolver->crew = crew;
    resolver->woken = event_new(base, crew->wake, EV_READ | EV_PERSIST, on_woken, resolver);
    event_add(resolver->woken, NULL);
    return resolver;
}

static void drop_queries(struct job *job)
{
    while (!list_empty(&job->queries)) {
        struct resolver_query *query = LIST_ITEM(job->queries.next, struct resolver_query, entry);
        list_del(&query->entry);
        free(query);
    }
}

void resolver_free(struct resolver **resolver)
{
    struct resolver *gone = *resolver;
    if (gone == NULL) {
        return;
    }
    *resolver = NULL;
    event_free(gone->woken);
    pthread_mutex_lock(&gone->crew->lock);
    gone->crew->closed = true;
    LIST_EACH(it, &gone->jobs) {
        struct job *job = LIST_ITEM(it, struct job, entry);
        drop_queries(job);
        list_del(&job->entry);
        if (!job->running) { /* else its thread frees it */
            job_free(job);
        }
    }
    leave_crew(gone->crew);
    free(gone);
}
