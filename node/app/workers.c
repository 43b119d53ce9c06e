/* SPDX-License-Identifier: MIT */
/*          start                    ended by itself
 *   IDLE --------> RUNNING (pid) -------------------> IDLE, due again after a back-off
 *                                 no beat for long
 *                                 ---------------> killed: ended by itself
 *                                 SIGTERM, SIGINT, SIGQUIT
 *                                 ---------------> passed on; nobody is started any more;
 *                                                  who is left some seconds after the drain: killed
 */
#include "node/app/workers.h"

#include "node/app/beat.h"
#include "node/app/guard.h"
#include "node/app/handover.h"
#include "node/app/notify.h"
#include "node/core/log.h"
#include "node/net/address.h"
#include "node/net/listener.h"
#include "node/net/udp.h"
#include "node/service/logs/syslog.h"
#include "store/base/backoff.h"
#include "store/base/clock.h"
#include "store/base/mem.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    WORKERS_BACKOFF_FIRST_MS = 200,
    WORKERS_BACKOFF_MOST_MS = 30 * 1000,
    STABLE_MS = 60 * 1000, /* a worker that ran that long starts with the first back-off again */
    WORKERS_LOOK_MS = 1000,
    SOCKETS_MS = 5 * 1000, /* for a worker to hand its sockets over */
    LOOKS_APART_MS =
        2000,          /* of a longer time between two looks the parent itself missed the rest */
    END_MS = 5 * 1000, /* from the end of the drain to the kill */
    BIND_TEXT = 300,
};

struct worker {
    pid_t pid; /* 0: not running */
    int way;   /* to it: its sockets come here */
    uint64_t due_ms, started_ms;
    unsigned starts;
    struct backoff backoff;
    uint32_t beat;      /* as it was seen last */
    uint64_t silent_ms; /* since it grew */
};

struct pool {
    const struct settings *settings;
    workers_fn *serve;
    struct worker *workers;
    unsigned count;
    char group[NAME_DIGITS + 1];
    sigset_t signals, before; /* the signals waited for; the mask that workers get */
    struct beat *beats;       /* of each worker */
    struct guard guard;
    uint64_t looked_ms;  /* at the beats */
    uint64_t kill_at_ms; /* with `ending` */
    bool ending;
    int status;
};

unsigned workers_wanted(const struct settings *settings)
{
    cpu_set_t cores;
    if (settings->workers > 0) {
        return settings->workers;
    }
    int count = sched_getaffinity(0, sizeof(cores), &cores) == 0 ? CPU_COUNT(&cores) : 1;
    return count > 1 ? (unsigned)count : 1;
}

/* ------------------------------------------------------------------------------------ checks */

static unsigned port_of(const char *bind)
{
    struct address address;
    int family;
    return address_parse_bind(bind, &address, &family) == 0 ? address.port : 0;
}

typedef int bind_fn(const char *bind, char *error, size_t error_size);

/* `with` for every entry of a list, "name=host:port" or "host:port"; the first failure ends it. */
static int each_bind(const char *list, bind_fn *with, char *error, size_t error_size)
{
    struct span rest = span_str(list);
    int rc = 0;
    while (rc == 0 && rest.len > 0) {
        struct span bind = span_trim(span_cut(&rest, ','));
        const char *equals = memchr(bind.ptr, '=', bind.len);
        bind = equals != NULL ? span_skip(bind, (size_t)(equals - bind.ptr) + 1) : bind;
        char *text = mem_dup(bind);
        rc = with(text, error, error_size);
        free(text);
    }
    return rc;
}

static int is_fixed(const char *bind, char *error, size_t error_size)
{
    (void)error;
    (void)error_size;
    return port_of(bind) != 0 ? 0 : -1;
}

/* Every address that all workers listen on names its port; none is left to the system to choose. */
static bool ports_are_fixed(const struct settings *settings)
{
    return port_of(settings->http) != 0 && port_of(settings->admin) != 0 &&
           each_bind(settings->tracker, is_fixed, NULL, 0) == 0 &&
           each_bind(settings->relay, is_fixed, NULL, 0) == 0;
}

/* Workers share their ports with any process of this user that wants to share them, such as the
 * workers of another fleet: then some clients would be served here and some there. */
static int probe(const struct settings *settings, char *error, size_t error_size)
{
    if (listener_probe(settings->http, error, error_size) != 0 ||
        each_bind(settings->relay, listener_probe, error, error_size) != 0) {
        return -1;
    }
    if (logs_syslog_probe(settings->logs_syslog, error, error_size) != 0) {
        return -1;
    }
    return each_bind(settings->tracker, udp_probe, error, error_size);
}

static const char *trouble(const struct settings *settings, unsigned count)
{
    unsigned http = port_of(settings->http), admin = port_of(settings->admin);
    if (strcmp(settings->store, "memory:") == 0) {
        return "they would not see each other: several workers need a Redis store, not memory:";
    }
    if (settings->admin[0] == '\0') {
        return "several workers need --admin: worker i answers /metrics, /healthz and /readyz for "
               "itself at that port + i";
    }
    if (settings->relay_upstream[0] != '\0') {
        return "--relay-upstream is for one process of the fleet";
    }
    if (!ports_are_fixed(settings)) {
        return "a port of 0 would be another one in each of several workers";
    }
    if (admin + count - 1 > 65535) {
        return "there are too few ports from --admin on, one for each worker";
    }
    return http >= admin && http < admin + count ? "the ports from --admin on hold that of --http"
                                                 : NULL;
}

int workers_check(const struct settings *settings, char *error, size_t error_size)
{
    unsigned count = workers_wanted(settings);
    const char *wrong = count > 1 ? trouble(settings, count) : NULL;
    if (wrong != NULL) {
        snprintf(error, error_size, "--workers: %s", wrong);
        return -1;
    }
    return 0;
}

/* ------------------------------------------------------------------------------------ a worker */

/* `admin` of worker i: the same host, and the port + i. */
static void admin_of(const struct settings *settings, int worker, char out[static BIND_TEXT])
{
    const char *colon = strrchr(settings->admin, ':');
    snprintf(out, BIND_TEXT, "%.*s:%u", (int)(colon - settings->admin), settings->admin,
             port_of(settings->admin) + (unsigned)worker);
}

/* In the child; does not return. */
static void be_worker(struct pool *pool, int number, pid_t parent, int way)
{
    struct name_worker worker = {.number = number};
    char admin[BIND_TEXT];
    struct settings settings = *pool->settings;
    memcpy(worker.group, pool->group, sizeof(worker.group));
    admin_of(pool->settings, number, admin);
    settings.admin = admin;
    settings.admin_is_own = true;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    sigprocmask(SIG_SETMASK, &pool->before, NULL);
    if (getppid() != parent) {
        raise(SIGTERM); /* it died before it could be watched */
    }
    guard_forget(&pool->guard);
    beat_choose(&pool->beats[number]);
    handover_worker(way);
    handover_choose(number);
    log_worker(number);
    exit(pool->serve(&settings, &worker));
}

static void start(struct pool *pool, unsigned number)
{
    struct worker *worker = &pool->workers[number];
    int ways[2] = {-1, -1};
    bool made = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ways) == 0;
    pid_t parent = getpid(), pid = made ? fork() : -1;
    if (pid == 0) {
        close(ways[0]);
        be_worker(pool, (int)number, parent, ways[1]);
    }
    if (made) {
        close(ways[1]);
    }
    if (made && pid < 0) {
        close(ways[0]);
    }
    worker->started_ms = clock_monotonic_ms();
    if (pid < 0) {
        log_error("cannot start a worker", LOG_NUMBER_FIELD("worker", number));
        worker->due_ms = worker->started_ms + backoff_next(&worker->backoff);
        return;
    }
    worker->pid = pool->beats[number].pid = pid;
    worker->starts++;
    worker->silent_ms = 0;
    worker->way = ways[0];
    pool->beats[number].ready = false;
    log_info("worker started", LOG_NUMBER_FIELD("worker", number), LOG_NUMBER_FIELD("pid", pid));
}

/* ----------------------------------------------------------------------------------- the parent */

static void pass_on(const struct pool *pool, int number)
{
    for (unsigned i = 0; i < pool->count; i++) {
        if (pool->workers[i].pid != 0) {
            kill(pool->workers[i].pid, number);
        }
    }
}

/* Of those that run. */
static void kill_worker(const struct pool *pool, unsigned number, const char *why)
{
    pid_t pid = pool->workers[number].pid;
    log_error("worker killed", LOG_NUMBER_FIELD("worker", number), LOG_NUMBER_FIELD("pid", pid),
              LOG_TEXT_FIELD("error", why));
    kill(pid, SIGKILL);
}

/* A worker whose loop stands still, stopped or caught in its own code, serves nobody and takes new
 * connections all the same. */
static void look_at_beats(struct pool *pool)
{
    uint64_t now = clock_monotonic_ms(), since = now - pool->looked_ms;
    uint64_t limit = pool->settings->worker_silence;
    pool->looked_ms = now;
    for (unsigned i = 0; i < pool->count; i++) {
        struct worker *worker = &pool->workers[i];
        uint32_t beat = pool->beats[i].count;
        worker->silent_ms += since < LOOKS_APART_MS ? since : LOOKS_APART_MS;
        if (worker->pid == 0 || beat != worker->beat) {
            worker->beat = beat;
            worker->silent_ms = 0;
        } else if (limit > 0 && worker->silent_ms > limit) {
            kill_worker(pool, i, "it stood still for too long");
            worker->silent_ms = 0;
        }
    }
}

static void kill_late(struct pool *pool)
{
    if (!pool->ending || clock_monotonic_ms() < pool->kill_at_ms) {
        return;
    }
    for (unsigned i = 0; i < pool->count; i++) {
        if (pool->workers[i].pid != 0) {
            kill_worker(pool, i, "it did not end in time");
        }
    }
    pool->kill_at_ms = clock_monotonic_ms() + END_MS;
}

static uint64_t time_to_end_ms(const struct pool *pool)
{
    return (uint64_t)pool->settings->drain_delay + pool->settings->drain + END_MS;
}

static void begin_to_end(struct pool *pool)
{
    pool->kill_at_ms = clock_monotonic_ms() + (pool->ending ? END_MS : time_to_end_ms(pool));
    pool->ending = true;
}

/* A worker that does not serve yet has no handler for the signals that end it. */
static bool is_in_order(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) == 0
                             : WTERMSIG(status) == SIGTERM || WTERMSIG(status) == SIGINT ||
                                   WTERMSIG(status) == SIGQUIT;
}

static void on_end(struct pool *pool, unsigned number, int status)
{
    struct worker *worker = &pool->workers[number];
    uint64_t now = clock_monotonic_ms();
    worker->pid = pool->beats[number].pid = 0;
    close(worker->way);
    if (pool->ending) {
        pool->status = is_in_order(status) ? pool->status : 1;
        return;
    }
    log_warn("worker ended", LOG_NUMBER_FIELD("worker", number),
             LOG_NUMBER_FIELD("exit", WIFEXITED(status) ? WEXITSTATUS(status) : -1),
             LOG_NUMBER_FIELD("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0));
    if (worker->starts == 1 && WIFEXITED(status) && WEXITSTATUS(status) == 1) {
        pool->status = 1; /* the settings are to blame: it would never start */
        begin_to_end(pool);
        pass_on(pool, SIGTERM);
        return;
    }
    if (now - worker->started_ms > STABLE_MS) {
        backoff_reset(&worker->backoff);
    }
    worker->due_ms = now + backoff_next(&worker->backoff);
}

static void reap(struct pool *pool)
{
    int status;
    for (unsigned i = 0; i < pool->count; i++) {
        pid_t pid = pool->workers[i].pid;
        if (pid != 0 && waitpid(pid, &status, WNOHANG) == pid) {
            on_end(pool, i, status);
        }
    }
    if (pool->guard.pid != 0 && waitpid(pool->guard.pid, &status, WNOHANG) == pool->guard.pid) {
        log_warn("the workers' guard ended; another one is started");
        guard_start(&pool->guard, pool->beats, pool->count, time_to_end_ms(pool));
    }
}

static bool any_runs(const struct pool *pool)
{
    for (unsigned i = 0; i < pool->count; i++) {
        if (pool->workers[i].pid != 0) {
            return true;
        }
    }
    return false;
}

/* Starts the workers that are due; returns the milliseconds until the next one is. */
static uint64_t start_due(struct pool *pool)
{
    uint64_t now = clock_monotonic_ms(), wait = WORKERS_LOOK_MS;
    for (unsigned i = 0; i < pool->count && !pool->ending; i++) {
        struct worker *worker = &pool->workers[i];
        if (worker->pid == 0 && worker->due_ms <= now) {
            start(pool, i);
        }
        if (worker->pid == 0 && worker->due_ms - now < wait) {
            wait = worker->due_ms - now;
        }
    }
    return wait;
}

/* All sockets of all workers go to the successor, each worker's to the one with its number. */
static void hand_over(struct pool *pool)
{
    struct handover_socket *sockets = NULL;
    size_t count = 0;
    bool all = true;
    pass_on(pool, SIGUSR2);
    for (unsigned i = 0; i < pool->count; i++) {
        const struct worker *worker = &pool->workers[i];
        all = all && (worker->pid == 0 ||
                      handover_receive(worker->way, (int)i, SOCKETS_MS, &sockets, &count) == 0);
    }
    if (all) {
        handover_start(sockets, count);
    } else {
        log_error("no successor: a worker does not hand its sockets over");
    }
    for (size_t i = 0; i < count; i++) {
        close(sockets[i].fd);
    }
    free(sockets);
}

/* Once there is a successor its workers have the sockets. */
static void end_workers(struct pool *pool, int number)
{
    bool handed = !pool->ending && handover_succeeded();
    log_info("ending the workers", LOG_NUMBER_FIELD("signal", number));
    begin_to_end(pool);
    for (unsigned i = 0; handed && i < pool->count; i++) {
        if (pool->workers[i].pid != 0) {
            handover_tell(pool->workers[i].way);
        }
    }
    if (!handed) {
        notify_stopping((uint64_t)pool->settings->drain_delay + pool->settings->drain);
    }
    pass_on(pool, number);
}

static void complete_handover(const struct pool *pool)
{
    bool ready = handover_has_predecessor();
    for (unsigned i = 0; i < pool->count && ready; i++) {
        ready = pool->beats[i].ready;
    }
    if (ready) {
        handover_complete();
    }
}

static void on_signal(struct pool *pool, int number)
{
    switch (number) {
    case SIGTERM:
    case SIGINT:
    case SIGQUIT:
        end_workers(pool, number);
        break;
    case SIGUSR2:
        log_info("SIGUSR2: a successor is to take the place of these workers");
        hand_over(pool);
        break;
    case SIGHUP:
        log_info("SIGHUP: the workers read the settings again");
        pass_on(pool, number);
        break;
    case SIGUSR1:
        log_info("this signal means nothing here", LOG_NUMBER_FIELD("signal", number));
        break;
    default:
        break; /* a child ended, or nothing came in time */
    }
}

static void watch(struct pool *pool)
{
    bool told = false;
    while (!pool->ending || any_runs(pool)) {
        uint64_t wait = start_due(pool);
        if (!told) {
            handover_forget();
            notify_ready("workers started");
            told = true;
        }
        struct timespec limit = {(time_t)(wait / 1000), (long)(wait % 1000) * 1000000};
        int number = sigtimedwait(&pool->signals, NULL, &limit);
        on_signal(pool, number);
        reap(pool);
        look_at_beats(pool);
        kill_late(pool);
        complete_handover(pool);
        handover_succeeded();
    }
}

int workers_run(const struct settings *settings, workers_fn *serve)
{
    struct pool pool = {.settings = settings, .serve = serve, .count = workers_wanted(settings)};
    char error[256];
    if (!handover_has_predecessor() && probe(settings, error, sizeof(error)) != 0) {
        log_error("cannot start", LOG_TEXT_FIELD("error", error));
        return 1;
    }
    pool.beats = beat_page_new(pool.count);
    if (pool.beats == NULL) {
        log_error("cannot start", LOG_TEXT_FIELD("error", "no memory that workers could share"));
        return 1;
    }
    name_group_choose(pool.group);
    pool.workers = mem_zalloc(pool.count * sizeof(*pool.workers));
    for (unsigned i = 0; i < pool.count; i++) {
        pool.workers[i].backoff = (struct backoff){.first_ms = WORKERS_BACKOFF_FIRST_MS,
                                                   .most_ms = WORKERS_BACKOFF_MOST_MS};
    }
    sigemptyset(&pool.signals);
    sigaddset(&pool.signals, SIGTERM);
    sigaddset(&pool.signals, SIGINT);
    sigaddset(&pool.signals, SIGCHLD);
    sigaddset(&pool.signals, SIGQUIT);
    sigaddset(&pool.signals, SIGHUP);
    sigaddset(&pool.signals, SIGUSR1);
    sigaddset(&pool.signals, SIGUSR2);
    sigprocmask(SIG_BLOCK, &pool.signals, &pool.before);
    pool.looked_ms = clock_monotonic_ms();
    guard_start(&pool.guard, pool.beats, pool.count, time_to_end_ms(&pool));
    watch(&pool);
    guard_end(&pool.guard);
    signal(SIGTERM, SIG_IGN); /* all have ended: what still comes means nothing */
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    sigprocmask(SIG_SETMASK, &pool.before, NULL);
    free(pool.workers);
    return pool.status;
}
