/* SPDX-License-Identifier: MIT */
/* muster status: the fleet's page in text. Ends with 0 when all is well, 1 with problems, 2 when no node
 * answers. */
#include "node/app/terminal.h"
#include "node/proto/http/fetch.h"
#include "store/base/buf.h"
#include "store/base/clock.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { STATUS_WAIT_MS = 10 * 1000, STATUS_BYTES_MOST = 64 * 1024 * 1024, STATUS_EVENTS = 10 };
enum {
    STATUS_NAME_MOST = 40,
    STATUS_VERSION_MOST = 12,
    STATUS_ZONE_MOST = 20,
    STATUS_PLACE_MOST = 60
}; /* bytes of columns */
enum { STATUS_WELL, STATUS_PROBLEMS, STATUS_UNREACHABLE };

struct status_view {
    const char *http, *token;
    bool watch, json;
    struct event_base *base;
    char *url;
    json_t *before; /* the nodes of the last answer, for rates */
    int outcome;
};

/* ------------------------------------------------------------------------------------ words */

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

static double figure(const json_t *node, const char *name)
{
    return json_number_value(json_object_get(json_object_get(node, "figures"), name));
}

static void print_text(const char *text)
{
    terminal_print(text, strlen(text), 0);
}

/* 02:51:04 of today, else with its date; local time. */
static void print_clock(double ms)
{
    struct tm then = terminal_time(terminal_number(ms), false);
    struct tm today = terminal_time((uint64_t)time(NULL) * 1000, false);
    char text[40];
    if (then.tm_yday == today.tm_yday && then.tm_year == today.tm_year) {
        strftime(text, sizeof(text), "%H:%M:%S", &then);
    } else {
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &then);
    }
    printf("%s", text);
}

static const char *local_zone(void)
{
    tzset();
    return tzname[0];
}

static const char *duration(double seconds, char *text, size_t size)
{
    uint64_t s = terminal_number(seconds);
    if (s >= 86400) {
        snprintf(text, size, "%" PRIu64 "d%" PRIu64 "h", s / 86400, s / 3600 % 24);
    } else if (s >= 3600) {
        snprintf(text, size, "%" PRIu64 "h%" PRIu64 "m", s / 3600, s / 60 % 60);
    } else if (s >= 60) {
        snprintf(text, size, "%" PRIu64 "m", s / 60);
    } else {
        snprintf(text, size, "%" PRIu64 "s", s);
    }
    return text;
}

/* Text of the object, and a blank behind it. */
static void print_column(const json_t *object, const char *name, int width, size_t most)
{
    terminal_print_column(text_of(object, name), width, most);
    printf(" ");
}

/* ------------------------------------------------------------------------------------ nodes */

static const json_t *node_before(const struct status_view *view, const char *name)
{
    size_t i;
    json_t *node;
    json_array_foreach(view->before, i, node)
    {
        if (strcmp(text_of(node, "name"), name) == 0) {
            return node;
        }
    }
    return NULL;
}

/* Growth a second since the last answer; without one, what the node's last minute was. */
static double messages(const struct status_view *view, const json_t *node)
{
    static const char name[] = "muster_websocket_messages_received_total";
    const json_t *was = node_before(view, text_of(node, "name"));
    double passed = json_number_value(json_object_get(node, "time")) -
                    json_number_value(json_object_get(was, "time"));
    if (was != NULL && passed > 0) {
        return (figure(node, name) - figure(was, name)) * 1000 / passed;
    }
    const json_t *hour =
        json_object_get(json_object_get(json_object_get(node, "lists"), "hour"), "messages");
    size_t points = json_array_size(hour);
    return points > 0 ? json_number_value(json_array_get(hour, points - 1)) : 0;
}

static double mean_ms(const json_t *node, const char *sum, const char *count)
{
    double n = figure(node, count);
    return n > 0 ? figure(node, sum) / n * 1000 : 0;
}

static void print_head(const json_t *node, int width)
{
    char up[24];
    double s = json_number_value(json_object_get(node, "time")) / 1000 -
               json_number_value(json_object_get(node, "started"));
    terminal_print_column(text_of(node, "name"), width, STATUS_NAME_MOST);
    printf("  %-6s  ", duration(s, up, sizeof(up)));
}

static void print_tail(const json_t *node)
{
    printf("  ");
    print_column(node, "version", 8, STATUS_VERSION_MOST);
    print_column(node, "http", 21, STATUS_NAME_MOST);
    print_column(node, "zone", 10, STATUS_ZONE_MOST);
    print_text(text_of(node, "state"));
    printf("\n");
}

static void print_node(const struct status_view *view, const json_t *node, int width)
{
    print_head(node, width);
    printf("%7.0f %8.1f %8.1f %8.2f", figure(node, "muster_connections"), messages(view, node),
           figure(node, "process_resident_memory_bytes") / 1048576,
           mean_ms(node, "muster_bus_lag_seconds_sum", "muster_bus_lag_seconds_count"));
    print_tail(node);
}

static void print_sink(const json_t *node, int width)
{
    print_head(node, width);
    printf("%7.0f %8.0f %8.0f %8.1f", figure(node, "muster_sink_lanes"),
           figure(node, "muster_sink_rows_total"), figure(node, "muster_sink_lag_entries"),
           figure(node, "muster_sink_lag_milliseconds") / 1000);
    print_tail(node);
}

static bool is_sink(const json_t *node)
{
    return strcmp(text_of(node, "kind"), "sink") == 0;
}

static void print_nodes(const struct status_view *view, const json_t *nodes)
{
    size_t i, sinks = 0;
    json_t *node;
    int width = 4;
    json_array_foreach(nodes, i, node)
    {
        int name = terminal_width(text_of(node, "name"), STATUS_NAME_MOST);
        width = name > width ? name : width;
        sinks += is_sink(node);
    }
    printf("\n%-*s  %-6s  %7s %8s %8s %8s  %-8s %-21s %-10s %s\n", width, "NODE", "UP", "CONNS",
           "MSG/S", "MIB", "BUS MS", "VERSION", "AT", "ZONE", "STATE");
    json_array_foreach(nodes, i, node)
    {
        if (!is_sink(node)) {
            print_node(view, node, width);
        }
    }
    if (sinks > 0) {
        printf("\n%-*s  %-6s  %7s %8s %8s %8s  %-8s %-21s %-10s %s\n", width, "SINK", "UP", "LANES",
               "STORED", "WAITING", "OLDEST S", "VERSION", "AT", "ZONE", "STATE");
    }
    json_array_foreach(nodes, i, node)
    {
        if (is_sink(node)) {
            print_sink(node, width);
        }
    }
}

/* ------------------------------------------------------------------------------------ stores */

static double number_of(const json_t *object, const char *name)
{
    return json_number_value(json_object_get(object, name));
}

static void print_redis(const json_t *server)
{
    double most = number_of(server, "most");
    print_column(server, "name", 31, STATUS_NAME_MOST);
    print_column(server, "version", 8, STATUS_VERSION_MOST);
    print_column(server, "role", 8, STATUS_VERSION_MOST);
    printf("%8.2f %8.0f %8.1f ", number_of(server, "ms"), number_of(server, "commands"),
           number_of(server, "used") / 1048576);
    if (most > 0) {
        printf("%8.0f", most / 1048576);
    } else {
        printf("%8s", "-");
    }
    printf(" %.0f\n", number_of(server, "replicas"));
}

/* As one node has asked them; the last word counts. */
static void print_servers(const json_t *told)
{
    const json_t *last = NULL, *servers;
    size_t i;
    json_t *one;
    json_array_foreach(told, i, one)
    {
        last = last == NULL || number_of(one, "time") > number_of(last, "time") ? one : last;
    }
    servers = json_object_get(last, "servers");
    if (strcmp(text_of(json_array_get(servers, 0), "kind"), "memory") == 0) {
        printf("\nSTORE  the memory of this one process\n");
    } else if (json_array_size(servers) > 0) {
        printf("\n%-31s %-8s %-8s %8s %8s %8s %8s %s\n", "REDIS", "VERSION", "ROLE", "MS", "CMD/S",
               "MIB", "OF MIB", "REPLICAS");
        json_array_foreach(servers, i, one)
        {
            print_redis(one);
        }
    }
}

static void print_postgres(const json_t *node)
{
    const json_t *postgres = json_object_get(node, "postgres");
    double error_at = number_of(postgres, "error_at");
    if (postgres == NULL) {
        return;
    }
    printf("\nPOSTGRESQL OF ");
    print_text(text_of(node, "name"));
    printf("  %s ", json_is_true(json_object_get(postgres, "up")) ? "connected" : "AWAY");
    print_column(postgres, "at", 0, STATUS_PLACE_MOST);
    print_column(postgres, "version", 0, STATUS_VERSION_MOST);
    print_text(text_of(postgres, "role"));
    printf("\n");
    if (error_at > 0) {
        printf("last error ");
        print_clock(error_at);
        printf("  ");
        print_text(text_of(postgres, "error"));
        printf("\n");
    }
}

static void print_stores(const json_t *answer)
{
    size_t i;
    json_t *node;
    print_servers(json_object_get(answer, "servers"));
    json_array_foreach(json_object_get(answer, "nodes"), i, node)
    {
        print_postgres(node);
    }
}

/* ------------------------------------------------------------------------------------ the answer */

static void print_verdict(const json_t *problems, double time_ms)
{
    bool colours = terminal_has_colours();
    size_t i, count = json_array_size(problems);
    json_t *problem;
    printf("%s", !colours ? "" : count > 0 ? "\033[1;31m" : "\033[1;32m");
    if (count == 0) {
        printf("All is well");
    } else {
        printf("%zu problem%s:", count, count == 1 ? "" : "s");
    }
    json_array_foreach(problems, i, problem)
    {
        double since = json_number_value(json_object_get(problem, "since"));
        bool alone = text_of(problem, "node")[0] == '\0'; /* about no node */
        printf("%s ", i > 0 ? ";" : "");
        print_text(text_of(problem, "node"));
        printf("%s", alone ? "" : since > 0 ? " " : ": ");
        print_text(text_of(problem, "text"));
        if (since > 0) {
            printf(alone ? " since " : " ");
            print_clock(since);
        }
    }
    printf("%s   as of ", colours ? "\033[0m" : "");
    print_clock(time_ms);
    printf(" (%s)\n", local_zone());
}

static void print_events(const json_t *events)
{
    size_t i;
    json_t *event;
    printf("\nWHAT HAPPENED\n");
    json_array_foreach(events, i, event)
    {
        if (i == STATUS_EVENTS) {
            break;
        }
        print_clock(json_number_value(json_object_get(event, "at")));
        printf("  ");
        print_text(text_of(event, "node"));
        printf("%s", text_of(event, "node")[0] != '\0' ? " " : "");
        print_text(text_of(event, "text"));
        printf("\n");
    }
}

static void show(struct status_view *view, struct span body)
{
    json_error_t wrong;
    json_t *answer = json_loadb(body.ptr, body.len, JSON_ALLOW_NUL, &wrong);
    const json_t *problems = json_object_get(answer, "problems");
    if (!json_is_array(json_object_get(answer, "nodes"))) {
        fprintf(stderr, "muster status: %s: no answer of a muster node\n", view->http);
        view->outcome = STATUS_UNREACHABLE;
        json_decref(answer);
        return;
    }
    view->outcome = json_array_size(problems) > 0 ? STATUS_PROBLEMS : STATUS_WELL;
    if (view->json) {
        printf("%.*s\n", (int)body.len, body.ptr);
    } else {
        printf("%s", view->watch && terminal_has_colours() ? "\033[H\033[J" : "");
        print_verdict(problems, json_number_value(json_object_get(answer, "time")));
        print_nodes(view, json_object_get(answer, "nodes"));
        print_stores(answer);
        print_events(json_object_get(answer, "events"));
    }
    json_decref(view->before);
    view->before = json_incref(json_object_get(answer, "nodes"));
    json_decref(answer);
    fflush(stdout);
}

static void on_answer(void *arg, int status, struct span body, const char *error)
{
    struct status_view *view = arg;
    if (status == 200) {
        show(view, body);
    } else {
        view->outcome = STATUS_UNREACHABLE;
        if (status == 401) {
            fprintf(stderr, "muster status: %s wants its token (--token)\n", view->http);
        } else if (status != 0) {
            fprintf(stderr, "muster status: %s: ", view->http);
            terminal_complain(body.ptr, body.len);
        } else {
            fprintf(stderr, "muster status: %s cannot be reached: %s\n", view->http, error);
        }
    }
    event_base_loopbreak(view->base);
}

static void ask(struct status_view *view, struct fetcher *fetcher)
{
    const struct fetch_request request = {.url = view->url,
                                          .bearer = view->token[0] != '\0' ? view->token : NULL,
                                          .limit_ms = STATUS_WAIT_MS,
                                          .body_limit = STATUS_BYTES_MOST};
    if (fetch_start(fetcher, &request, on_answer, view) != NULL) {
        event_base_dispatch(view->base);
    }
}

int verb_status(char *const args[])
{
    struct status_view view = {.http = "localhost:8080", .token = ""};
    const struct terminal_flag flags[] = {
        {"http", TERMINAL_TEXT, &view.http, "HOST:PORT", "any node; a name, an address, or a URL",
         NULL},
        {"token", TERMINAL_TEXT, &view.token, "TOKEN", "its status-token", "MUSTER_STATUS_TOKEN"},
        {"watch", TERMINAL_SWITCH, &view.watch, NULL, "again every two seconds, until Ctrl-C",
         NULL},
        {"json", TERMINAL_SWITCH, &view.json, NULL, "the answer of /api/status as it is", NULL},
        {NULL, TERMINAL_TEXT, NULL, NULL, NULL, NULL}};
    int status;
    if (!terminal_flags("status", args, flags, &status)) {
        return status;
    }
    view.base = event_base_new();
    view.url = terminal_url(view.http, "api/status");
    struct fetcher *fetcher =
        fetch_pool_new(&(struct fetcher_options){.base = view.base, .parallel = 1, .waiting = 1});
    ask(&view, fetcher);
    while (view.watch && ferror(stdout) == 0) {
        nanosleep(&(struct timespec){.tv_sec = 2}, NULL);
        ask(&view, fetcher);
    }
    fetch_pool_free(&fetcher);
    event_base_free(view.base);
    json_decref(view.before);
    free(view.url);
    return view.outcome;
}
