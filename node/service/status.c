#include "node/service/status.h"

#include "store/base/clock.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

struct status {
    struct status_options options;
    uint64_t started_ms; /* monotonic */
    bool draining;
};

/* Why no client should be sent here now, or NULL. */
static const char *unready(const struct status *status)
{
    const struct status_options *options = &status->options;
    bool full;
    net_connections(options->net, &full);
    if (status->draining) {
        return "draining";
    }
    if (options->store != NULL && !store_ready(options->store)) {
        return "the store cannot be reached";
    }
    if (full) {
        return "the connection limit is reached";
    }
    return options->unready != NULL ? options->unready(options->arg) : NULL;
}

/* The loop turns, or nobody would answer. Redis being gone is no reason to restart a node. */
static void on_healthz(void *arg, struct http_request *request)
{
    (void)arg;
    http_reply(request, 200, "text/plain; charset=utf-8", SPAN("ok\n"));
}

static void on_readyz(void *arg, struct http_request *request)
{
    const char *reason = unready(arg);
    if (reason != NULL) {
        http_reply_error(request, 503, "%s", reason);
    } else {
        http_reply(request, 200, "text/plain; charset=utf-8", SPAN("ready\n"));
    }
}

/* ------------------------------------------------------------------------------------ metrics */

static uint64_t count_descriptors(void)
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

static uint64_t resident_bytes(void)
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

static void refresh_store(struct metrics *metrics, const struct store_stats *store)
{
    metric_set(metrics, METRIC_STORE_COMMANDS, store->commands);
    metric_set(metrics, METRIC_STORE_ERRORS, store->errors);
    metric_set(metrics, METRIC_STORE_RECONNECTS, store->reconnects);
    metric_set(metrics, METRIC_STORE_RENEWALS, store->renewals);
    metric_set(metrics, METRIC_STORE_RESNAPSHOTS, store->resnapshots);
    metric_set(metrics, METRIC_BUS_PUBLISHED, store->published);
    metric_set(metrics, METRIC_BUS_RECEIVED, store->received);
    metric_set(metrics, METRIC_BUS_UNPUBLISHED, store->unpublished);
}

/* What others count is copied when it is asked for. */
static void refresh(struct status *status)
{
    struct metrics *metrics = status->options.metrics;
    struct store *store = status->options.store;
    if (store != NULL) {
        metric_set(metrics, METRIC_STORE_UP, store_ready(store) ? 1 : 0);
        refresh_store(metrics, store_stats(store));
    }
    if (status->options.refresh != NULL) {
        status->options.refresh(status->options.arg);
    }
    metric_set(metrics, METRIC_RSS, resident_bytes());
    metric_set(metrics, METRIC_FDS, count_descriptors());
    metric_set(metrics, METRIC_CPU_MS, cpu_ms());
}

static void on_metrics(void *arg, struct http_request *request)
{
    struct status *status = arg;
    struct buf text = {0};
    refresh(status);
    metrics_print(status->options.metrics, &text);
    http_reply(request, 200, "text/plain; version=0.0.4; charset=utf-8", buf_span(&text));
    buf_free(&text);
}

/* ------------------------------------------------------------------------------------ the page */

static void print_uptime(uint64_t ms, struct buf *out)
{
    uint64_t s = ms / 1000;
    buf_printf(out, "%" PRIu64 "d %02u:%02u:%02u", s / 86400, (unsigned)(s / 3600 % 24),
               (unsigned)(s / 60 % 60), (unsigned)(s % 60));
}

static void print_row(struct buf *out, bool html, const char *name, const char *value)
{
    buf_printf(out, html ? "<tr><th>%s</th><td>%s</td></tr>\n" : "%-16s %s\n", name, value);
}

static void print_count(struct buf *out, bool html, const char *name, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    print_row(out, html, name, text);
}

static void print_rows(const struct status *status, bool html, struct buf *out)
{
    const uint64_t *value = status->options.metrics->value;
    const char *reason = unready(status);
    struct buf uptime = {0};
    print_uptime(clock_monotonic_ms() - status->started_ms, &uptime);
    print_row(out, html, "state", reason != NULL ? reason : "well");
    print_row(out, html, "node", status->options.node);
    print_row(out, html, "uptime", buf_text(&uptime));
    print_count(out, html, "active sessions", value[METRIC_SYNC_SESSIONS]);
    print_count(out, html, "active sockets", value[METRIC_SYNC_SOCKETS]);
    print_count(out, html, "bytes pushed", value[METRIC_SYNC_PUSHED_BYTES]);
    buf_free(&uptime);
}

static void print_page(const struct status *status, struct buf *out)
{
    buf_append(
        out, SPAN("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                  "<meta name=\"viewport\" content=\"width=device-width\">"
                  "<meta http-equiv=\"refresh\" content=\"5\"><title>Muster</title>\n<style>"
                  ":root{color-scheme:light dark}body{font:16px/1.5 "
                  "system-ui,sans-serif;margin:2rem auto;"
                  "max-width:40rem;padding:0 1rem}th{text-align:left;font-weight:normal;opacity:.7;"
                  "padding-right:2rem}</style></head>\n<body><h1>Muster</h1>\n<table>\n"));
    print_rows(status, true, out);
    buf_append(
        out,
        SPAN("</table>\n<p><a href=\"/metrics\">metrics</a> of this node</p></body></html>\n"));
}

static void on_page(void *arg, struct http_request *request)
{
    const struct status *status = arg;
    struct span accept = http_header(request, "accept");
    bool html = accept.ptr != NULL && memmem(accept.ptr, accept.len, "text/html", 9) != NULL;
    struct buf text = {0};
    if (html) {
        print_page(status, &text);
    } else {
        print_rows(status, false, &text);
    }
    http_reply_field(request, "Cache-Control", SPAN("no-store"));
    http_reply(request, 200, html ? "text/html; charset=utf-8" : "text/plain; charset=utf-8",
               buf_span(&text));
    buf_free(&text);
}

/* ------------------------------------------------------------------------------------ life */

struct status *status_new(struct http_server *server, const struct status_options *options)
{
    struct status *status = mem_zalloc(sizeof *status);
    status->options = *options;
    status->started_ms = clock_monotonic_ms();
    metric_set(options->metrics, METRIC_START_TIME, clock_unix_ms() / 1000);
    http_route(server, "GET", "/", on_page, status);
    http_route(server, "GET", "/healthz", on_healthz, status);
    http_route(server, "GET", "/readyz", on_readyz, status);
    http_route(server, "GET", "/metrics", on_metrics, status);
    return status;
}

void status_free(struct status **status)
{
    free(*status);
    *status = NULL;
}

void status_drain(struct status *status)
{
    status->draining = true;
}
