/* SPDX-License-Identifier: MIT */
#include "node/service/dispatch/dispatch.h"

#include "node/proto/http/auth.h"
#include "node/proto/json/scan.h"
#include "node/service/dispatch/device/device.h"
#include "node/service/dispatch/mesh/mesh.h"
#include "node/service/dispatch/port/count.h"
#include "node/service/dispatch/port/port.h"
#include "store/base/entropy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef MUSTER_COMMIT
#define MUSTER_COMMIT "unknown"
#endif
#ifndef MUSTER_BUILD_TIME
#define MUSTER_BUILD_TIME "unknown"
#endif

#define JSON "application/json"
enum {
    REQUEST_ID_DIGITS = 32, /* of one that is made here */
    REQUEST_ID_MOST = 128,  /* bytes of one that came with the request */
    PORTS_PER_STEP = 16,    /* each with a look at who in the cluster has it */
};

#define KNOWN_SECRET "testing" /* of every development set-up */

/* ------------------------------------------------------------------------------------ options */

int dispatch_check(const struct dispatch_options *options, char *error, size_t error_size)
{
    struct dispatch_ranges ranges;
    struct address address;
    struct cidr_list trusted;
    struct span wrong;
    if (dispatch_ranges_parse(span_str(options->ports), &ranges, &wrong) != 0) {
        snprintf(
            error, error_size,
            "dispatch-ports: '%.*s' is no port or range such as 6000-6999, tcp:2020 or udp:47808",
            SPAN_ARG(wrong));
        return -1;
    }
    dispatch_ranges_free(&ranges);
    if (options->bind[0] != '\0' && address_parse_ip(span_str(options->bind), &address) != 0) {
        snprintf(error, error_size, "dispatch-bind: '%s' is no IP address", options->bind);
        return -1;
    }
    if (options->secret[0] == '\0') {
        snprintf(error, error_size, "dispatch-secret: must not be empty");
        return -1;
    }
    if (options->production && strcmp(options->secret, KNOWN_SECRET) == 0) {
        snprintf(error, error_size,
                 "dispatch-secret: the development secret is refused in production; set another, "
                 "or turn dispatch off with an empty dispatch-ports");
        return -1;
    }
    if (cidr_list_parse(span_str(options->proxy), &trusted, &wrong) != 0) {
        snprintf(error, error_size, "dispatch-proxy: '%.*s' is no IP address or range",
                 SPAN_ARG(wrong));
        return -1;
    }
    cidr_list_free(&trusted);
    return 0;
}

/* ------------------------------------------------------------------------------------ requests */

/* Each answer bears X-Request-ID: that of the request, or one of its own. */
static void name_answer(struct http_request *request)
{
    char own[REQUEST_ID_DIGITS + 1];
    struct span id = http_header(request, "x-request-id");
    if (id.len == 0 || id.len > REQUEST_ID_MOST) {
        entropy_hex(own, REQUEST_ID_DIGITS);
        id = span_of(own, REQUEST_ID_DIGITS);
    }
    http_reply_field(request, "X-Request-ID", id);
}

/* Why a driver is refused: {"error": ..., "parameter": ..., "restriction": ...}, as drivers of today
 * know it. */
struct refusal {
    int status; /* 0: it is not */
    const char *parameter;
    const char *restriction; /* what the parameter must be */
    struct buf error;
};

static void refuse(struct http_request *request, struct refusal *refusal)
{
    struct buf body = {0};
    buf_append(&body, SPAN("{\"error\": "));
    json_quote(buf_span(&refusal->error), &body);
    buf_append(&body, SPAN(", \"parameter\": "));
    json_quote(span_str(refusal->parameter), &body);
    buf_append(&body, SPAN(", \"restriction\": "));
    json_quote(span_str(refusal->restriction), &body);
    buf_append(&body, SPAN("}\n"));
    http_reply(request, refusal->status, JSON, buf_span(&body));
    buf_free(&body);
}

static unsigned read_port(const struct dispatch *dispatch, const struct http_request *request,
                          bool is_udp, struct refusal *refusal)
{
    struct buf text = {0};
    bool there = http_query(request, "port", &text);
    unsigned port = dispatch_port_number(buf_span(&text));
    buf_free(&text);
    refusal->parameter = "port";
    refusal->restriction = dispatch->options.ports;
    if (!there) {
        refusal->status = 422;
        buf_printf(&refusal->error, "the parameter port is missing");
    } else if (port == 0) {
        refusal->status = 400;
        buf_printf(&refusal->error, "port must be a number from 1 to 65535");
    } else if (!dispatch_ranges_have(&dispatch->ranges, is_udp, port)) {
        refusal->status = 400;
        buf_printf(&refusal->error, "port must be one that may be opened: %s",
                   dispatch->options.ports);
    }
    return port;
}

static void read_accept(const struct http_request *request, struct buf *text,
                        struct cidr_list *accept, struct refusal *refusal)
{
    struct span wrong;
    refusal->parameter = "accept";
    refusal->restriction = "IP addresses and ranges, separated by commas";
    if (!http_query(request, "accept", text)) {
        refusal->status = 422;
        buf_printf(&refusal->error, "the parameter accept is missing");
    } else if (cidr_list_parse(buf_span(text), accept, &wrong) != 0) {
        refusal->status = 400;
        buf_printf(&refusal->error, "accept: '%.*s' is no IP address or range", SPAN_ARG(wrong));
    } else if (accept->count == 0) {
        refusal->status = 400;
        buf_printf(&refusal->error, "accept names no IP address");
    }
}

static void on_driver(struct dispatch *dispatch, struct http_request *request, bool is_udp)
{
    struct buf text = {0};
    struct cidr_list accept = {0};
    struct refusal refusal = {0};
    name_answer(request);
    if (!http_authorize(request, HTTP_AUTH_ALWAYS, dispatch->options.secret, "bearer_token")) {
        return;
    }
    unsigned port = read_port(dispatch, request, is_udp, &refusal);
    if (refusal.status == 0) {
        read_accept(request, &text, &accept, &refusal);
    }
    if (refusal.status != 0) {
        refuse(request, &refusal);
    } else if (dispatch->draining) {
        cidr_list_free(&accept);
        http_reply_error(request, 503, "the server is going away");
    } else {
        dispatch_driver_register(dispatch_port_get(dispatch, is_udp, (uint16_t)port), request,
                                 accept, buf_span(&text));
    }
    buf_free(&text);
    buf_free(&refusal.error);
}

static void on_tcp_driver(void *arg, struct http_request *request)
{
    on_driver(arg, request, false);
}

static void on_udp_driver(void *arg, struct http_request *request)
{
    on_driver(arg, request, true);
}

/* ----------------------------------------------------------------------------------- statistics */

/* The answer has all ports of the cluster: some in each step. */
struct statistics {
    struct net_work work;
    struct dispatch_look look;
    struct http_request *request;
    struct buf udp_listeners, tcp_listeners, tcp_clients, udp_unbound, tcp_unbound;
};

/* "6001": 1 of a list of these, where it has any. */
static void print_count(struct buf *out, const struct dispatch_port *port, uint64_t count)
{
    if (count > 0) {
        buf_printf(out, "%s\"%u\": %" PRIu64, out->len > 0 ? ", " : "", port->number, count);
    }
}

static void print_totals(struct statistics *statistics, struct dispatch_port *port)
{
    struct dispatch_port_totals totals = dispatch_port_totals(port);
    if (port->is_udp) {
        print_count(&statistics->udp_listeners, port, totals.drivers);
        print_count(&statistics->udp_unbound, port, totals.unbound);
    } else {
        print_count(&statistics->tcp_listeners, port, totals.drivers);
        print_count(&statistics->tcp_clients, port, totals.clients);
        print_count(&statistics->tcp_unbound, port, totals.unbound);
    }
}

static void statistics_free(struct statistics *statistics)
{
    buf_free(&statistics->udp_listeners);
    buf_free(&statistics->tcp_listeners);
    buf_free(&statistics->tcp_clients);
    buf_free(&statistics->udp_unbound);
    buf_free(&statistics->tcp_unbound);
    free(statistics);
}

static void end_statistics(struct statistics *statistics)
{
    struct buf text = {0};
    buf_printf(&text, "{\"udp_listeners\": {%s}, \"tcp_listeners\": {%s}, \"tcp_clients\": {%s}",
               buf_text(&statistics->udp_listeners), buf_text(&statistics->tcp_listeners),
               buf_text(&statistics->tcp_clients));
    if (statistics->udp_unbound.len + statistics->tcp_unbound.len > 0) {
        /* nodes on which a port could not be opened */
        buf_printf(&text, ", \"udp_unbound\": {%s}, \"tcp_unbound\": {%s}",
                   buf_text(&statistics->udp_unbound), buf_text(&statistics->tcp_unbound));
    }
    buf_append(&text, SPAN("}"));
    http_reply(statistics->request, 200, JSON, buf_span(&text));
    buf_free(&text);
    statistics_free(statistics);
}

static bool look_at_some(struct net_work *work)
{
    struct statistics *statistics = CONTAINER_OF(work, struct statistics, work);
    for (int left = PORTS_PER_STEP; left > 0; left--) {
        struct dispatch_port *port = dispatch_look_next(&statistics->look);
        if (port == NULL) {
            end_statistics(statistics);
            return false;
        }
        print_totals(statistics, port);
    }
    return true;
}

static void on_statistics(void *arg, struct http_request *request)
{
    struct dispatch *dispatch = arg;
    name_answer(request);
    if (!http_authorize(request, HTTP_AUTH_ALWAYS, dispatch->options.secret, "bearer_token")) {
        return;
    }
    struct statistics *statistics = mem_zalloc(sizeof(*statistics));
    statistics->request = request;
    net_work_init(&statistics->work, look_at_some);
    dispatch_look_begin(&statistics->look, dispatch);
    if (look_at_some(&statistics->work)) {
        net_work_queue(dispatch->options.net, &statistics->work);
    }
}

/* Of requests whose connections have gone. */
static void drop_statistics(struct dispatch *dispatch)
{
    while (!list_empty(&dispatch->looking)) {
        struct dispatch_look *look = LIST_ITEM(dispatch->looking.next, struct dispatch_look, entry);
        struct statistics *statistics = CONTAINER_OF(look, struct statistics, look);
        dispatch_look_end(look);
        net_work_cancel(&statistics->work);
        http_reply_error(statistics->request, 503, "the server is going away");
        statistics_free(statistics);
    }
}

static void on_health(void *arg, struct http_request *request)
{
    (void)arg;
    name_answer(request);
    http_reply(request, 200, JSON, SPAN("{}"));
}

static void on_version(void *arg, struct http_request *request)
{
    (void)arg;
    name_answer(request);
    http_reply(request, 200, JSON,
               SPAN("{\"service\": \"dispatch\", \"version\": \"" MUSTER_VERSION
                    "\", \"build_time\": \"" MUSTER_BUILD_TIME "\", \"commit\": \"" MUSTER_COMMIT
                    "\"}"));
}

/* ------------------------------------------------------------------------------------ life */

static void on_turn_end(void *arg)
{
    struct dispatch *dispatch = arg;
    if (dispatch->mesh != NULL) {
        dispatch_drivers_settle(dispatch);
        dispatch_drivers_relieve(dispatch);
        dispatch_flow_settle(dispatch);
        dispatch_mesh_flush(dispatch->mesh);
    }
}

struct dispatch *dispatch_new(struct http_server *server, const struct dispatch_options *options)
{
    struct dispatch *dispatch = mem_zalloc(sizeof(*dispatch));
    struct span wrong;
    dispatch->options = *options;
    if (dispatch_ranges_parse(span_str(options->ports), &dispatch->ranges, &wrong) != 0 ||
        cidr_list_parse(span_str(options->proxy), &dispatch->trusted, &wrong) != 0) {
        abort(); /* dispatch_check was to be asked */
    }
    map_init(&dispatch->devices);
    list_init(&dispatch->registering);
    list_init(&dispatch->full);
    list_init(&dispatch->touched);
    dispatch_ports_init(dispatch);
    dispatch_mesh_init(dispatch);
    http_route(server, "GET", "/api/server", on_statistics, dispatch);
    http_route_websocket(server, "/api/server/tcp_dispatch", on_tcp_driver, dispatch);
    http_route_websocket(server, "/api/server/udp_dispatch", on_udp_driver, dispatch);
    http_route(server, "GET", "/api/dispatch/v1", on_statistics, dispatch);
    http_route_websocket(server, "/api/dispatch/v1/tcp_dispatch", on_tcp_driver, dispatch);
    http_route_websocket(server, "/api/dispatch/v1/udp_dispatch", on_udp_driver, dispatch);
    http_route(server, "GET", "/api/dispatch/v1/healthz", on_health, dispatch);
    http_route(server, "GET", "/api/dispatch/v1/version", on_version, dispatch);
    loop_at_turn_end(net_loop(options->net), on_turn_end, dispatch);
    return dispatch;
}

void dispatch_drain(struct dispatch *dispatch)
{
    if (dispatch != NULL) {
        dispatch->draining = true;
        dispatch_drivers_refuse(dispatch);
        dispatch_ports_close_all(dispatch);
    }
}

void dispatch_free(struct dispatch **dispatch)
{
    struct dispatch *gone = *dispatch;
    if (gone == NULL) {
        return;
    }
    MAP_EACH(it, &gone->devices) { /* of other nodes: devices here went with their connections */
        dispatch_device_end(MAP_ENTRY(it, struct dispatch_device, node), DEVICE_GONE);
    }
    drop_statistics(gone);
    dispatch_mesh_deinit(gone);
    dispatch_ports_deinit(gone);
    map_deinit(&gone->devices);
    cidr_list_free(&gone->trusted);
    dispatch_ranges_free(&gone->ranges);
    free(gone);
    *dispatch = NULL;
}
