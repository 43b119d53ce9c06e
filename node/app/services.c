/* SPDX-License-Identifier: MIT */
#include "node/app/services.h"

#include "node/app/process.h"

#include "node/core/log.h"
#include "node/service/chat/chat.h"
#include "node/service/dispatch/dispatch.h"
#include "node/service/fleet/fleet.h"
#include "node/service/fleet/home.h"
#include "node/service/logs/logs.h"
#include "node/service/logs/syslog.h"
#include "node/service/minigame/minigame.h"
#include "node/service/relay/relay.h"
#include "node/service/sync/sync.h"
#include "store/base/mem.h"

#include <string.h>

struct services {
    struct fleet_home *home;
    struct fleet *fleet;
    struct sync *sync;
    struct logs *logs;
    struct chat *chat;
    struct minigame *minigame;
    struct relay *relay;
    struct dispatch *dispatch; /* NULL: off */
};

/* ------------------------------------------------------------------------------ monitoring */

static const char *trouble(void *arg)
{
    return health_trouble(arg);
}

static void warn_of_open_page(const struct settings *settings)
{
    if (settings->env == ENV_PRODUCTION && settings->admin[0] == '\0' &&
        settings->status_token[0] == '\0') {
        log_warn("the status page is open to all who reach http: set admin or status-token");
    }
}

static void warn_of_closed_writes(const struct settings *settings)
{
    if (settings->env == ENV_PRODUCTION && settings->origins[0] == '\0') {
        log_info("origins is not set: no page of another site may add logs or call the webhook");
    }
}

static void make_fleet(struct services *services, struct app *app, struct health *health)
{
    warn_of_open_page(app->settings);
    const struct fleet_home_options home = {
        .metrics = &app->metrics,
        .node = app->node,
        .trouble = trouble,
        .trouble_arg = health,
    };
    warn_of_closed_writes(app->settings);
    services->home = fleet_home_new(app->admin, &home);
    if (app->admin != app->http) {
        fleet_home_route_text(services->home, app->http);
    }
    const struct fleet_options fleet = {
        .loop = app->loop,
        .store = app->store,
        .metrics = &app->metrics,
        .node = app->node,
        .kind = "node",
        .zone = app->settings->zone,
        .http = app->settings->http,
        .token = app->settings->status_token,
        .trouble = trouble,
        .trouble_arg = health,
    };
    services->fleet = fleet_new(app->admin, &fleet);
}

static void print_sessions(void *arg, struct buf *out)
{
    sync_describe(arg, out);
}

static void print_chat(void *arg, struct buf *out)
{
    chat_describe(arg, out);
}

static void print_relay(void *arg, struct buf *out)
{
    relay_describe(arg, out);
}

static void print_ports(void *arg, struct buf *out)
{
    dispatch_describe(arg, out);
}

/* What each service shows on the fleet's page; neither knows of the other. */
static void show_services(const struct services *services)
{
    const struct fleet_list lists[] = {
        {"sessions", print_sessions, services->sync},
        {"chat", print_chat, services->chat},
        {"relay", print_relay, services->relay},
        {"ports", print_ports, services->dispatch},
    };
    for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
        if (lists[i].arg != NULL) {
            fleet_show(services->fleet, &lists[i]);
        }
    }
}

/* ------------------------------------------------------------------------- HTTP and WebSockets */

static void make_sync(struct services *services, struct app *app)
{
    const struct sync_options options = {
        .store = app->store,
        .metrics = &app->metrics,
        .node = app->node,
        .idle_ms = app->settings->sync_idle,
    };
    services->sync = sync_new(app->http, &options);
}

/* A full stream refuses entries where a sink stores them. No sink can reach the embedded store. */
static bool logs_wait_for_a_sink(const struct settings *settings)
{
    bool told = settings->logs_sink == LOGS_SINK_ON ||
                (settings->logs_sink == LOGS_SINK_AUTO && settings->postgres[0] != '\0');
    return told && strcmp(settings->store, "memory:") != 0;
}

static void make_logs(struct services *services, struct app *app)
{
    const struct settings *settings = app->settings;
    bool refuse = logs_wait_for_a_sink(settings);
    metrics_set(&app->metrics, METRIC_LOGS_SINK, refuse ? 1 : 0);
    const struct logs_options options = {
        .net = app->net,
        .pool = app->pool,
        .store = app->store,
        .metrics = &app->metrics,
        .node = app->node,
        .lanes = settings->logs_lanes,
        .bound = settings->logs_bound,
        .refuse = refuse,
        .entry_limit = settings->logs_entry_limit,
        .body_limit = settings->message_limit,
        .keys = {.room = settings->logs_room_keys, .user = settings->logs_user_keys},
        .queue_limit = settings->queue_limit,
        .rate = settings->logs_rate,
        .syslog = settings->logs_syslog,
        .add_token = settings->logs_add_token,
        .listen_token = settings->logs_listen_token,
        .postgres = settings->postgres,
        .admin = app->admin != app->http ? app->admin : NULL,
        .own_for_all = app->admin == app->http && settings->env != ENV_PRODUCTION,
    };
    services->logs = logs_new(app->http, &options);
}

static struct chat_login_options login_options(const struct settings *settings,
                                               struct event_base *base, struct job_pool *pool)
{
    return (struct chat_login_options){
        .base = base,
        .pool = pool,
        .development = settings->chat_login == CHAT_LOGIN_DEVELOPMENT,
        .key_file = settings->chat_jwt_key,
        .jwks = settings->chat_jwks,
        .secret = settings->chat_jwt_secret,
        .audience = settings->chat_jwt_audience,
        .issuer = settings->chat_jwt_issuer,
        .nickname_claim = settings->chat_nickname_claim,
        .account_url = settings->chat_account_url,
        .login_url = settings->chat_login_url,
        .leeway_s = settings->chat_jwt_leeway / 1000,
        .jwks_refresh_ms = settings->chat_jwks_refresh,
        .jwks_pause_ms = settings->chat_jwks_pause,
        .account_ms = settings->chat_account_timeout,
        .account_cache_ms = settings->chat_account_cache,
        .account_parallel = settings->chat_account_parallel,
    };
}

static int make_chat(struct services *services, struct app *app, char *error, size_t error_size)
{
    const struct settings *settings = app->settings;
    const struct chat_options options = {
        .store = app->store,
        .metrics = &app->metrics,
        .wheel = app->wheel,
        .net = app->net,
        .node = app->node,
        .login = login_options(settings, loop_base(app->loop), app->pool),
        .history = settings->chat_history,
        .rate = settings->chat_rate,
        .burst = settings->chat_burst,
        .text_limit = (uint32_t)settings->chat_text_limit,
        .answer_limit = settings->queue_limit / 2,
        .close_at_exp = settings->chat_close_at_exp,
        .api_env = settings->api_env,
        .api_desc = settings->api_desc,
    };
    services->chat = chat_new(app->http, &options, error, error_size);
    return services->chat != NULL ? 0 : -1;
}

/* The minigame draws its players from those in the chat. */
static void make_minigame(struct services *services, struct app *app)
{
    const struct minigame_options options = {
        .store = app->store,
        .metrics = &app->metrics,
        .wheel = app->wheel,
        .node = app->node,
        .net = app->net,
        .online = {CHAT_ONLINE_PARTS, chat_each_online, services->chat},
        .token = app->settings->minigame_token,
        .webhook_token = app->settings->webhook_token,
    };
    services->minigame = minigame_new(app->http, &options);
}

/* ------------------------------------------------------------------------- ports of their own */

static int make_relay(struct services *services, struct app *app, char *error, size_t error_size)
{
    const struct settings *settings = app->settings;
    const struct relay_options options = {
        .net = app->net,
        .store = app->store,
        .metrics = &app->metrics,
        .node = app->node,
        .listen = settings->relay,
        .name = settings->relay_name,
        .color = settings->relay_color,
        .prefix = settings->relay_prefix,
        .secret = settings->relay_secret,
        .status_token = settings->relay_status_token,
        .upstream = settings->relay_upstream,
        .unpaced = settings->relay_unpaced,
        .pacing = settings->relay_pacing,
        .proxy = settings->relay_proxy,
        .trusted = &app->trusted,
        .trusted_text = settings->trusted_proxies,
        .gap_ms = settings->relay_gap,
        .queue_limit = settings->queue_limit,
        .packet_limit = settings->relay_limit,
        .rate = settings->relay_rate,
        .joins = settings->relay_joins,
        .timeout_ms = settings->relay_timeout,
    };
    services->relay = relay_new(app->http, &options, error, error_size);
    return services->relay != NULL ? 0 : -1;
}

static struct dispatch_options dispatch_options_of(const struct settings *settings)
{
    return (struct dispatch_options){
        .ports = settings->dispatch_ports,
        .bind = settings->dispatch_bind,
        .secret = settings->dispatch_secret,
        .proxy = strcmp(settings->dispatch_proxy, "on") == 0 ? settings->trusted_proxies
                                                             : settings->dispatch_proxy,
        .production = settings->env == ENV_PRODUCTION,
        .stall_ms = settings->dispatch_stall,
        .queue_limit = settings->queue_limit,
        .message_limit = settings->message_limit,
    };
}

static void make_dispatch(struct services *services, struct app *app)
{
    struct dispatch_options options = dispatch_options_of(app->settings);
    options.net = app->net;
    options.store = app->store;
    options.metrics = &app->metrics;
    options.node = app->node;
    if (app->settings->dispatch_ports[0] != '\0') {
        services->dispatch = dispatch_new(app->http, &options);
    }
}

/* ------------------------------------------------------------------------------------ life */

static int check_dispatch(const struct settings *settings, char *error, size_t error_size)
{
    const struct dispatch_options options = dispatch_options_of(settings);
    if (strcmp(settings->dispatch_proxy, "on") == 0 && settings->trusted_proxies[0] == '\0') {
        snprintf(error, error_size,
                 "dispatch-proxy: on needs the balancers' addresses in --trusted-proxies");
        return -1;
    }
    return settings->dispatch_ports[0] == '\0' ? 0 : dispatch_check(&options, error, error_size);
}

static int check_relay(const struct settings *settings, char *error, size_t error_size)
{
    const struct relay_options options = {.listen = settings->relay,
                                          .upstream = settings->relay_upstream,
                                          .color = settings->relay_color,
                                          .proxy = settings->relay_proxy,
                                          .trusted_text = settings->trusted_proxies};
    return relay_check(&options, error, error_size);
}

struct tracker_options services_tracker_options(const struct settings *settings)
{
    return (struct tracker_options){
        .listen = settings->tracker,
        .dialect = settings->tracker_dialect == TRACKER_DIALECT_SOBANI ? TRACKER_SOBANI
                                                                       : TRACKER_DOCUMENTED,
        .forward = settings->tracker_forward,
        .expiry_ms = settings->tracker_expiry,
        .grace_ms = settings->tracker_grace,
        .rate = settings->tracker_rate,
        .burst = settings->tracker_burst,
    };
}

static int check_tracker(const struct settings *settings, char *error, size_t error_size)
{
    const struct tracker_options options = services_tracker_options(settings);
    return tracker_check(&options, error, error_size);
}

static int check_chat(const struct settings *settings, char *error, size_t error_size)
{
    const struct chat_login_options options = login_options(settings, NULL, NULL);
    return chat_login_check(&options, error, error_size);
}

static int check_logs(const struct settings *settings, char *error, size_t error_size)
{
    return logs_syslog_check(settings->logs_syslog, error, error_size);
}

static int check_trusted(const struct settings *settings, char *error, size_t error_size)
{
    struct cidr_list trusted;
    int result = process_trusted(settings, &trusted, error, error_size);
    cidr_list_free(&trusted);
    return result;
}

services_check_fn *const services_checks[] = {
    check_trusted, check_dispatch, check_relay, check_tracker, check_chat, check_logs, NULL};

struct services *services_new(struct app *app, struct health *health, char *error,
                              size_t error_size)
{
    struct services *services = mem_zalloc(sizeof(*services));
    make_fleet(services, app, health);
    make_sync(services, app);
    make_logs(services, app);
    bool made = make_chat(services, app, error, error_size) == 0 &&
                make_relay(services, app, error, error_size) == 0;
    if (!made) {
        services_stop(services);
        services_free(&services);
        return NULL;
    }
    make_minigame(services, app);
    make_dispatch(services, app);
    show_services(services);
    return services;
}

struct logs *services_logs(const struct services *services)
{
    return services->logs;
}

struct relay *services_relay(const struct services *services)
{
    return services->relay;
}

void services_drain(struct services *services)
{
    fleet_leave(services->fleet);
    dispatch_drain(services->dispatch);
}

void services_stop(struct services *services)
{
    if (services != NULL) {
        dispatch_drain(services->dispatch);
        logs_stop(services->logs);
    }
}

void services_free(struct services **services)
{
    struct services *gone = *services;
    if (gone == NULL) {
        return;
    }
    logs_free(&gone->logs);
    dispatch_free(&gone->dispatch);
    relay_free(&gone->relay);
    minigame_free(&gone->minigame);
    chat_free(&gone->chat);
    sync_free(&gone->sync);
    fleet_free(&gone->fleet);
    fleet_home_free(&gone->home);
    free(gone);
    *services = NULL;
}
