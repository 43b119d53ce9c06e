/* SPDX-License-Identifier: MIT */
#include "node/core/metrics_process.h"

#include "node/core/log.h"
#include "node/core/log_out.h"
#include "store/base/check.h"
#include "store/base/clock.h"
#include "store/list_change.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LIST_MOST = 1000 }; /* connections beside which descriptors are still listed */

static uint64_t list_descriptors(void)
{
    uint64_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL) {
        return 0;
    }
    while (readdir(dir) != NULL) {
        count++;
    }
    closedir(dir);
    return count > 3 ? count - 3 : 0; /* ".", ".." and the directory itself */
}

/* From Linux 6.2 on the folder's size is their number. Before, they are listed, and with many connections, where
 * that would hold up the loop, counted: those that were none when they were listed last, and the connections. */
static uint64_t count_descriptors(uint64_t connections)
{
    static uint64_t others;
    struct stat folder;
    if (stat("/proc/self/fd", &folder) == 0 && folder.st_size > 0) {
        return (uint64_t)folder.st_size;
    }
    if (others == 0 || connections <= LIST_MOST) {
        uint64_t all = list_descriptors();
        others = all > connections ? all - connections : 0;
    }
    return others + connections;
}

uint64_t metrics_process_resident_bytes(void)
{
    unsigned long long total, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL) {
        return 0;
    }
    if (fscanf(file, "%llu %llu", &total, &resident) != 2) {
        resident = 0;
    }
    fclose(file);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t cpu_ms(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
}

/* Looking these up costs milliseconds with many descriptors, and any client may ask: once a second
 * is enough. */
static void refresh_process(struct metrics *metrics)
{
    static uint64_t looked_ms;
    uint64_t now = clock_monotonic_ms();
    if (looked_ms != 0 && now - looked_ms < 1000) {
        return;
    }
    looked_ms = now;
    metrics_set(metrics, METRIC_RSS, metrics_process_resident_bytes());
    metrics_set(metrics, METRIC_FDS, count_descriptors(metrics->value[METRIC_CONNS]));
    metrics_set(metrics, METRIC_CPU_MS, cpu_ms());
}

/* A release goes on when a CHECK does not hold; it is said here, once for each look. */
static void tell_failed_checks(void)
{
    static uint64_t told;
    if (check_failures() > told) {
        told = check_failures();
        log_error("a check of the program failed: please report it",
                  LOG_TEXT_FIELD("check", check_last()), LOG_NUMBER_FIELD("failures", told));
    }
}

void metrics_process_refresh(struct metrics *metrics, const struct store *store)
{
    metrics_count(metrics);
    refresh_process(metrics);
    tell_failed_checks();
    metrics_set(metrics, METRIC_CHECKS_FAILED, check_failures());
    metrics_set(metrics, METRIC_LOG_DROPPED, log_out_dropped());
    if (store == NULL) {
        return;
    }
    const struct store_stats *stats = store_stats(store);
    metrics_set(metrics, METRIC_STORE_UP, store_ready(store) ? 1 : 0);
    metrics_set(metrics, METRIC_STORE_AWAY, store_partitions_away(store));
    metrics_set(metrics, METRIC_STORE_WAITING, store_partitions_waiting(store));
    metrics_set(metrics, METRIC_STORE_COMMANDS, stats->commands);
    metrics_set(metrics, METRIC_STORE_ERRORS, stats->errors);
    metrics_set(metrics, METRIC_STORE_MOVES, stats->moves);
    metrics_set(metrics, METRIC_STORE_RECONNECTS, stats->reconnects);
    metrics_set(metrics, METRIC_STORE_RENEWALS, stats->renewals);
    metrics_set(metrics, METRIC_STORE_RESNAPSHOTS, stats->resnapshots);
    metrics_set(metrics, METRIC_STORE_REFETCHED, stats->refetched);
    metrics_set(metrics, METRIC_BUS_PUBLISHED, stats->published);
    metrics_set(metrics, METRIC_BUS_RECEIVED, stats->received);
    metrics_set(metrics, METRIC_BUS_UNPUBLISHED, stats->unpublished);
    metrics_set(metrics, METRIC_BUS_PARCELS, stats->parcels);
    metrics_set(metrics, METRIC_BUS_REPEATS, stats->repeats);
    metrics_set(metrics, METRIC_BUS_GAPS, stats->gaps);
    metrics_set(metrics, METRIC_BUS_LATE, stats->late);
    metrics_set(metrics, METRIC_WIRE_UNREAD_NODE, stats->unread[WIRE_NODE]);
    metrics_set(metrics, METRIC_WIRE_UNREAD_MESSAGE, stats->unread[WIRE_MESSAGE]);
    metrics_set(metrics, METRIC_WIRE_UNREAD_KEY, stats->unread[WIRE_KEY]);
    metrics_set(metrics, METRIC_STREAM_BROUGHT, stats->brought);
    metrics_set(metrics, METRIC_STREAM_LOST, stats->lost);
    metrics_set(metrics, METRIC_REPLICA_WAITS, stats->replica_waits);
    metrics_set(metrics, METRIC_REPLICA_TIMEOUTS, stats->replica_timeouts);
}
