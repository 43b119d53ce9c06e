/* SPDX-License-Identifier: MIT */
#include "node/service/relay/relay.h"

#include "node/core/log.h"
#include "node/net/listener.h"
#include "node/proto/http/auth.h"
#include "node/proto/json/scan.h"
#include "node/service/relay/client.h"
#include "node/service/relay/network.h"
#include "node/service/relay/packet.h"
#include "node/service/relay/upstream.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    NETWORK_NAME_MOST = 64,
    LISTEN_MOST = 128,
    SHOWN_NETWORKS = 16, /* on the fleet's page */
    SHOWN_SERVERS = 64,  /* there, in all; but for each network at least: */
    SHOWN_LEAST = 4,
    SHOWN_ADDRESSES = 4, /* there, of a network */
};

struct network {
    struct list entry;
    struct relay_network *network;
};

struct relay_listener {
    struct list entry;
    struct relay *relay;
    struct relay_network *network;
    struct listener *listener; /* NULL: closed */
    char bind[LISTEN_MOST];
};

struct bridge {
    struct list entry;
    struct relay_upstream *upstream;
};

struct relay {
    struct relay_options options;
    struct relay_terms terms;
    struct limit_table *by_address; /* of joins */
    struct buf host_look;
    struct list networks, ports;
    struct list bridges; /* struct bridge */
    struct metrics_source gauges;
};

/* ------------------------------------------------------------------------------------ listening */

/* One entry of the setting: "host:port" or "name=host:port". */
struct listen_entry {
    struct span network;
    char bind[LISTEN_MOST];
};

static bool is_network_name(struct span name)
{
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        if (!isalnum(c) && c != '-' && c != '_' && c != '.') {
            return false;
        }
    }
    return name.len > 0 && name.len <= NETWORK_NAME_MOST;
}

static int read_entry(struct span text, struct listen_entry *entry)
{
    struct span bind = text, network = span_cut(&bind, '=');
    struct address address;
    int family;
    if (bind.ptr == NULL) {
        bind = text;
        network = span_str(RELAY_DEFAULT_NETWORK);
    }
    if (bind.len >= sizeof(entry->bind) || !is_network_name(network)) {
        return -1;
    }
    entry->network = network;
    memcpy(entry->bind, bind.ptr, bind.len);
    entry->bind[bind.len] = '\0';
    return address_parse_bind(entry->bind, &address, &family);
}

static struct relay_network *get_network(struct relay *relay, struct span name)
{
    LIST_EACH(it, &relay->networks) {
        struct relay_network *network = LIST_ITEM(it, struct network, entry)->network;
        if (span_eq(relay_network_name(network), name)) {
            return network;
        }
    }
    struct network *added = mem_zalloc(sizeof(*added));
    added->network = relay_network_new(name, &(struct relay_network_options){
                                                 .store = relay->options.store,
                                                 .metrics = relay->options.metrics,
                                                 .node = relay->options.node,
                                                 .net = relay->options.net,
                                                 .by_address = relay->by_address,
                                                 .joins = relay->options.joins,
                                             });
    list_push_back(&relay->networks, &added->entry);
    return added->network;
}

static void on_accept(void *arg, int fd, const struct address *peer)
{
    struct relay_listener *port = arg;
    relay_client_accept(&port->relay->terms, port->network, fd, peer);
}

static void open_bridges(struct relay *relay)
{
    struct span rest = span_str(relay->options.upstream);
    struct relay_upstream_entry entry;
    while (rest.len > 0 && relay_upstream_next(&rest, &entry)) {
        struct span name = entry.network.len > 0 ? entry.network : span_str(RELAY_DEFAULT_NETWORK);
        struct bridge *bridge = mem_zalloc(sizeof(*bridge));
        bridge->upstream = relay_upstream_new(&relay->terms, get_network(relay, name), &entry);
        list_push_back(&relay->bridges, &bridge->entry);
    }
}

int relay_listen(struct relay *relay, char *error, size_t error_size)
{
    LIST_EACH(it, &relay->ports) {
        struct relay_listener *port = LIST_ITEM(it, struct relay_listener, entry);
        char text[ADDRESS_TEXT];
        port->listener =
            listener_open(relay->options.net, port->bind, on_accept, port, error, error_size);
        if (port->listener == NULL) {
            return -1;
        }
        log_info("listening", LOG_TEXT_FIELD("for", "relay"),
                 LOG_SPAN_FIELD("network", relay_network_name(port->network)),
                 LOG_TEXT_FIELD("address", address_text(listener_address(port->listener), text)));
    }
    open_bridges(relay);
    return 0;
}

/* ------------------------------------------------------------------------------------ the list */

/* At most `most` of its addresses. */
static void print_ports(struct relay *relay, const struct relay_network *network, size_t most,
                        struct buf *out)
{
    const char *before = "";
    LIST_EACH(it, &relay->ports) {
        const struct relay_listener *port = LIST_ITEM(it, struct relay_listener, entry);
        char text[ADDRESS_TEXT];
        if (port->network == network && port->listener != NULL && most-- > 0) {
            buf_printf(out, "%s\"%s\"", before,
                       address_text(listener_address(port->listener), text));
            before = ",";
        }
    }
}

static size_t count_networks(struct relay *relay)
{
    size_t count = 0;
    LIST_EACH(it, &relay->networks) {
        (void)it;
        count++;
    }
    return count;
}

void relay_describe(struct relay *relay, struct buf *out)
{
    size_t all = count_networks(relay), shown = all < SHOWN_NETWORKS ? all : SHOWN_NETWORKS;
    size_t each =
        shown * SHOWN_LEAST < SHOWN_SERVERS ? SHOWN_SERVERS / (shown + (shown == 0)) : SHOWN_LEAST;
    size_t left = shown;
    buf_append(out, SPAN("{\"rows\":["));
    LIST_EACH(it, &relay->networks) {
        const struct relay_network *network = LIST_ITEM(it, struct network, entry)->network;
        if (left == 0) {
            break;
        }
        buf_append(out, left-- < shown ? SPAN(",{\"name\":") : SPAN("{\"name\":"));
        json_quote(relay_network_name(network), out);
        buf_append(out, SPAN(",\"addresses\":["));
        print_ports(relay, network, SHOWN_ADDRESSES, out);
        buf_append(out, SPAN("],"));
        relay_print_here(relay_network_seats(network), each, out);
        buf_append(out, SPAN("}"));
    }
    buf_printf(out, "],\"more\":%zu}", all - shown);
}

static void on_list(void *arg, struct http_request *request)
{
    struct relay *relay = arg;
    struct buf text = {0};
    if (!http_authorize(request, HTTP_AUTH_ALWAYS, relay->options.status_token, NULL)) {
        return;
    }
    const char *before = "{\"networks\":[";
    LIST_EACH(it, &relay->networks) {
        const struct relay_network *network = LIST_ITEM(it, struct network, entry)->network;
        buf_printf(&text, "%s{\"name\":", before);
        json_quote(relay_network_name(network), &text);
        buf_append(&text, SPAN(",\"addresses\":["));
        print_ports(relay, network, SIZE_MAX, &text);
        buf_append(&text, SPAN("],\"servers\":"));
        relay_print_servers(relay_network_directory(network), &text);
        buf_append(&text, SPAN("}"));
        before = ",";
    }
    buf_append(&text, SPAN("]}\n"));
    http_reply_field(request, "Cache-Control", SPAN("no-store"));
    http_reply(request, 200, "application/json", buf_span(&text));
    buf_free(&text);
}

/* ------------------------------------------------------------------------------------ life */

static const struct cidr_list nobody;

static void set_terms(struct relay *relay)
{
    const struct relay_options *options = &relay->options;
    relay_print_look(span_str(options->name), span_str(options->color), span_str(options->prefix),
                     &relay->host_look);
    relay->terms = (struct relay_terms){
        .net = options->net,
        .metrics = options->metrics,
        .pacer = relay_pacer_new(&(struct relay_pacer_options){
            .loop = net_loop(options->net),
            .metrics = options->metrics,
            .on = options->pacing,
            .gap_ms = options->gap_ms,
            .limit = options->queue_limit,
        }),
        .host_look = buf_span(&relay->host_look),
        .secret = options->secret,
        .unpaced = options->unpaced,
        .proxies = options->proxy ? options->trusted : &nobody,
        .packet_limit = options->packet_limit,
        .rate = options->rate,
        .timeout_ms = options->timeout_ms,
    };
}

/* Does the address of `entry` stand in `rest`, what is left of the list behind it? */
static bool stands_in(const struct listen_entry *entry, struct span rest)
{
    while (rest.len > 0) {
        struct listen_entry other;
        if (read_entry(span_trim(span_cut(&rest, ',')), &other) == 0 &&
            strcmp(other.bind, entry->bind) == 0) {
            return true;
        }
    }
    return false;
}

int relay_check(const struct relay_options *options, char *error, size_t error_size)
{
    struct span rest = span_str(options->listen);
    if (options->proxy && options->trusted_text[0] == '\0') {
        snprintf(error, error_size,
                 "relay-proxy: on needs the balancers' addresses in "
                 "--trusted-proxies; nobody else is believed");
        return -1;
    }
    if (!relay_is_color(span_str(options->color))) {
        snprintf(error, error_size, "relay-color: '%s' is no six hexadecimal digits",
                 options->color);
        return -1;
    }
    while (rest.len > 0) {
        struct listen_entry entry;
        struct span text = span_trim(span_cut(&rest, ','));
        if (read_entry(text, &entry) != 0) {
            snprintf(error, error_size, "relay: '%.*s' is no [network=]host:port", SPAN_ARG(text));
            return -1;
        }
        if (stands_in(&entry, rest)) {
            snprintf(error, error_size, "relay: the address %s stands there twice", entry.bind);
            return -1;
        }
    }
    return relay_upstream_check(options->upstream, error, error_size);
}

static void count_gauges(void *arg, struct metrics *metrics)
{
    struct relay *relay = arg;
    uint64_t servers = 0;
    LIST_EACH(it, &relay->networks) {
        servers += relay_network_admitted(LIST_ITEM(it, struct network, entry)->network);
    }
    metrics_set(metrics, METRIC_RELAY_SERVERS, servers);
}

struct relay *relay_new(struct http_server *server, const struct relay_options *options,
                        char *error, size_t error_size)
{
    if (relay_check(options, error, error_size) != 0) {
        return NULL;
    }
    struct relay *relay = mem_zalloc(sizeof(*relay));
    relay->options = *options;
    list_init(&relay->networks);
    list_init(&relay->bridges);
    list_init(&relay->ports);
    metrics_source_add(options->metrics, &relay->gauges, count_gauges, relay);
    relay->by_address = limit_table_new((options->joins + 3) / 4, (options->joins + 3) / 4 * 10);
    set_terms(relay);
    /* The relay's addresses, checked by relay_check. */
    struct span rest = span_str(relay->options.listen);
    while (rest.len > 0) {
        struct listen_entry entry;
        if (read_entry(span_trim(span_cut(&rest, ',')), &entry) == 0) {
            struct relay_listener *port = mem_zalloc(sizeof(*port));
            port->relay = relay;
            port->network = get_network(relay, entry.network);
            memcpy(port->bind, entry.bind, sizeof(port->bind));
            list_push_back(&relay->ports, &port->entry);
        }
    }
    if (options->status_token[0] != '\0') {
        http_route(server, "GET", "/api/relay", on_list, relay);
    }
    return relay;
}

void relay_drain(struct relay *relay)
{
    LIST_EACH(it, &relay->bridges) {
        relay_upstream_stop(LIST_ITEM(it, struct bridge, entry)->upstream);
    }
    LIST_EACH(it, &relay->ports) {
        listener_retire(&LIST_ITEM(it, struct relay_listener, entry)->listener);
    }
}

void relay_free(struct relay **relay)
{
    struct relay *gone = *relay;
    if (gone == NULL) {
        return;
    }
    *relay = NULL;
    metrics_source_remove(gone->options.metrics, &gone->gauges);
    LIST_EACH(it, &gone->ports) {
        struct relay_listener *port = LIST_ITEM(it, struct relay_listener, entry);
        listener_close(&port->listener);
        free(port);
    }
    LIST_EACH(it, &gone->bridges) {
        struct bridge *bridge = LIST_ITEM(it, struct bridge, entry);
        relay_upstream_free(&bridge->upstream);
        free(bridge);
    }
    LIST_EACH(it, &gone->networks) {
        struct network *network = LIST_ITEM(it, struct network, entry);
        relay_network_free(&network->network);
        free(network);
    }
    relay_pacer_free(&gone->terms.pacer);
    limit_table_free(&gone->by_address);
    buf_free(&gone->host_look);
    free(gone);
}
