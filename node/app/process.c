/* SPDX-License-Identifier: MIT */
#include "node/app/process.h"

#include "node/core/log.h"
#include "node/proto/ws/ws.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------ the start */

/* A descriptor that is opened gets the lowest number that is free. */
static void fill_standard_descriptors(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) {
        close(fd);
    }
}

void process_prepare(void)
{
    sigset_t ending;
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGQUIT);
    sigprocmask(SIG_UNBLOCK, &ending, NULL);
    signal(SIGCHLD, SIG_DFL);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    fill_standard_descriptors();
}

/* ------------------------------------------------------------------------------------ signals */

void process_watch_signals(struct process_signals *signals, struct event_base *base,
                           event_callback_fn fn, void *arg)
{
    static const int numbers[PROCESS_SIGNALS] = {SIGTERM, SIGINT, SIGQUIT};
    for (int i = 0; i < PROCESS_SIGNALS; i++) {
        signals->events[i] = evsignal_new(base, numbers[i], fn, arg);
        event_add(signals->events[i], NULL);
    }
}

void process_unwatch_signals(struct process_signals *signals)
{
    for (int i = 0; i < PROCESS_SIGNALS; i++) {
        if (signals->events[i] != NULL) {
            event_free(signals->events[i]);
            signals->events[i] = NULL;
        }
    }
}

/* ------------------------------------------------------------------------------------ the store */

static void on_link(void *arg, bool up, const char *text)
{
    (void)arg;
    if (up) {
        log_info("store link up", LOG_TEXT_FIELD("detail", text));
    } else {
        log_warn("store link down", LOG_TEXT_FIELD("detail", text));
    }
}

static void on_trouble(void *arg, const char *text)
{
    (void)arg;
    log_warn("store refuses a command", LOG_TEXT_FIELD("detail", text));
}

static void on_bus_lag(void *arg, double seconds)
{
    metrics_observe(arg, HISTOGRAM_BUS_LAG, seconds);
}

static void on_command_time(void *arg, double seconds)
{
    metrics_observe(arg, HISTOGRAM_STORE_TIME, seconds);
}

struct store_tls process_store_tls(const struct settings *settings)
{
    return (struct store_tls){
        .ca = settings->store_ca,
        .cert = settings->store_cert,
        .key = settings->store_key,
        .server_name = settings->store_server_name,
    };
}

struct store *process_open_store(const struct settings *settings, struct event_base *base,
                                 const char *name, struct metrics *metrics, char *error,
                                 size_t error_size)
{
    const struct store_options options = {
        .base = base,
        .url = settings->store,
        .tls = process_store_tls(settings),
        .prefix = settings->store_prefix,
        .node = name,
        .lease_ms = settings->lease,
        .replicas = settings->store_replicas,
        .observer = {.link = on_link,
                     .trouble = on_trouble,
                     .bus_lag = on_bus_lag,
                     .command_time = on_command_time,
                     .arg = metrics},
    };
    return store_open(&options, error, error_size);
}

/* ------------------------------------------------------------------------------------ HTTP */

int process_trusted(const struct settings *settings, struct cidr_list *out, char *error,
                    size_t error_size)
{
    struct span wrong;
    if (cidr_list_parse(span_str(settings->trusted_proxies), out, &wrong) != 0) {
        snprintf(error, error_size, "trusted-proxies: '%.*s' is no IP address or range",
                 SPAN_ARG(wrong));
        return -1;
    }
    return 0;
}

struct http_server *process_http(const struct settings *settings, struct net *net,
                                 const struct cidr_list *trusted, bool admin)
{
    const struct http_options options = {
        .header_limit = settings->header_limit,
        .body_limit = settings->message_limit,
        .request_ms = settings->request_timeout,
        .keep_alive_ms = settings->keep_alive,
        .ws_message_limit = settings->message_limit,
        .origins = settings->origins,
        .hosts = admin || settings->admin[0] == '\0' ? settings->admin_hosts : NULL,
        .watchers = admin,
        .same_origin = admin,
        .guarded_writes = settings->env == ENV_PRODUCTION,
        .no_url_tokens = !settings->url_tokens,
        .trusted = trusted,
    };
    ws_set_pings(settings->ws_ping, settings->ws_pong);
    return http_server_new(net, &options);
}
