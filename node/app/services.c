#include "node/app/services.h"

#include "node/app/chat_wiring.h"
#include "node/app/fleet_wiring.h"
#include "node/core/log.h"
#include "node/service/dispatch/dispatch.h"
#include "node/service/fleet/fleet.h"
#include "node/service/fleet/status.h"
#include "node/service/logs/logs.h"
#include "node/service/relay/relay.h"
#include "node/service/sync/sync.h"
#include "store/base/mem.h"

#include <string.h>

struct services {
    struct status *status;
    struct fleet *fleet;
    struct sync *sync;
    struct logs *logs;
    struct chat_wiring chat;
    struct relay *relay;
    struct dispatch *dispatch; /* NULL: off */
};

/* ------------------------------------------------------------------------------ who watches us */

static const char *trouble(void *arg)
{
    return fleet_status_trouble(arg);
}

static void warn_of_open_page(const struct settings *settings)
{
    if (settings->env == ENV_PRODUCTION && settings->admin[0] == '\0' &&
        settings->status_token[0] == '\0') {
        log_warn("the status page is open to whoever reaches http: set admin or status-token");
    }
}

static void make_status(struct services *services, const struct services_parts *parts)
{
    warn_of_open_page(parts->settings);
    const struct status_options status = {
        .net = parts->net,
        .store = parts->store,
        .metrics = parts->metrics,
        .node = parts->node,
        .memory_limit = parts->settings->memory_limit,
    };
    services->status = fleet_status_new(parts->admin, &status);
    if (parts->admin != parts->http) {
        fleet_status_route_text(services->status, parts->http);
    }
    const struct fleet_options fleet = {
        .loop = parts->loop,
        .store = parts->store,
        .metrics = parts->metrics,
        .node = parts->node,
        .kind = "node",
        .http = parts->settings->http,
        .token = parts->settings->status_token,
        .trouble = trouble,
        .trouble_arg = services->status,
    };
    services->fleet = fleet_new(parts->admin, &fleet);
}

static void show_services(const struct services *services)
{
    const struct fleet_wiring_parts parts = {
        .sync = services->sync,
        .chat = services->chat.chat,
        .relay = services->relay,
        .dispatch = services->dispatch,
    };
    fleet_wiring_make(services->fleet, &parts);
}

/* ------------------------------------------------------------------------- HTTP and WebSockets */

static void make_sync(struct services *services, const struct services_parts *parts)
{
    const struct sync_options options = {
        .store = parts->store,
        .metrics = parts->metrics,
        .node = parts->node,
        .idle_ms = (uint32_t)parts->settings->sync_idle,
    };
    services->sync = sync_new(parts->http, &options);
}

/* A full stream refuses when somebody stores it. No sink can reach the embedded store. */
static bool logs_wait_for_a_sink(const struct settings *settings)
{
    bool told = settings->logs_sink == LOGS_SINK_ON ||
                (settings->logs_sink == LOGS_SINK_AUTO && settings->postgres[0] != '\0');
    return told && strcmp(settings->store, "memory:") != 0;
}

static void make_logs(struct services *services, const struct services_parts *parts)
{
    const struct settings *settings = parts->settings;
    bool refuse = logs_wait_for_a_sink(settings);
    metrics_set(parts->metrics, METRIC_LOGS_SINK, refuse ? 1 : 0);
    const struct logs_options options = {
        .net = parts->net,
        .store = parts->store,
        .metrics = parts->metrics,
        .node = parts->node,
        .lanes = (unsigned)settings->logs_lanes,
        .bound = (uint64_t)settings->logs_bound,
        .refuse = refuse,
        .entry_limit = (size_t)settings->logs_entry_limit,
        .body_limit = (size_t)settings->message_limit,
        .keys = {.room = settings->logs_room_keys, .user = settings->logs_user_keys},
        .queue_limit = (size_t)settings->queue_limit,
        .rate = (uint32_t)settings->logs_rate,
        .add_token = settings->logs_add_token,
        .listen_token = settings->logs_listen_token,
    };
    services->logs = logs_new(parts->http, &options);
}

static int make_chat(struct services *services, const struct services_parts *parts, char *error,
                     size_t error_size)
{
    const struct chat_wiring_parts chat = {
        .base = loop_base(parts->loop),
        .http = parts->http,
        .store = parts->store,
        .metrics = parts->metrics,
        .wheel = parts->wheel,
        .node = parts->node,
    };
    return chat_wiring_make(&services->chat, parts->settings, &chat, error, error_size);
}

/* ------------------------------------------------------------------------- ports of their own */

static int make_relay(struct services *services, const struct services_parts *parts, char *error,
                      size_t error_size)
{
    const struct settings *settings = parts->settings;
    const struct relay_options options = {
        .net = parts->net,
        .store = parts->store,
        .metrics = parts->metrics,
        .node = parts->node,
        .listen = settings->relay,
        .name = settings->relay_name,
        .color = settings->relay_color,
        .prefix = settings->relay_prefix,
        .secret = settings->relay_secret,
        .status_token = settings->relay_status_token,
        .pacing = settings->relay_pacing != 0,
        .proxy = settings->relay_proxy != 0,
        .gap_ms = (uint32_t)settings->relay_gap,
        .queue_limit = (size_t)settings->queue_limit,
        .packet_limit = (size_t)settings->relay_limit,
        .rate = (uint32_t)settings->relay_rate,
        .joins = (uint32_t)settings->relay_joins,
        .timeout_ms = (uint32_t)settings->relay_timeout,
    };
    services->relay = relay_new(parts->http, &options, error, error_size);
    return services->relay != NULL ? 0 : -1;
}

static int make_dispatch(struct services *services, const struct services_parts *parts, char *error,
                         size_t error_size)
{
    const struct settings *settings = parts->settings;
    const struct dispatch_options options = {
        .net = parts->net,
        .store = parts->store,
        .metrics = parts->metrics,
        .node = parts->node,
        .ports = settings->dispatch_ports,
        .bind = settings->dispatch_bind,
        .secret = settings->dispatch_secret,
        .proxy = settings->dispatch_proxy,
        .production = settings->env == ENV_PRODUCTION,
        .stall_ms = (uint32_t)settings->dispatch_stall,
        .queue_limit = (size_t)settings->queue_limit,
        .message_limit = (size_t)settings->message_limit,
    };
    if (settings->dispatch_ports[0] == '\0') {
        return 0;
    }
    if (dispatch_check(&options, error, error_size) != 0) {
        return -1;
    }
    services->dispatch = dispatch_new(parts->http, &options);
    return 0;
}

/* ------------------------------------------------------------------------------------ life */

struct services *services_new(const struct services_parts *parts, char *error, size_t error_size)
{
    struct services *services = mem_zalloc(sizeof(*services));
    make_status(services, parts);
    make_sync(services, parts);
    make_logs(services, parts);
    if (make_chat(services, parts, error, error_size) != 0 ||
        make_relay(services, parts, error, error_size) != 0 ||
        make_dispatch(services, parts, error, error_size) != 0) {
        services_stop(services);
        services_free(&services);
        return NULL;
    }
    show_services(services);
    return services;
}

struct status *services_status(const struct services *services)
{
    return services->status;
}

struct relay *services_relay(const struct services *services)
{
    return services->relay;
}

void services_drain(struct services *services)
{
    fleet_status_drain(services->status);
    fleet_leave(services->fleet);
    dispatch_drain(services->dispatch);
}

void services_stop(struct services *services)
{
    if (services != NULL) {
        dispatch_drain(services->dispatch);
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
    chat_wiring_free(&gone->chat);
    sync_free(&gone->sync);
    fleet_free(&gone->fleet);
    fleet_status_free(&gone->status);
    free(gone);
    *services = NULL;
}
