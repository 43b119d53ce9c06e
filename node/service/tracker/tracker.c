/* SPDX-License-Identifier: MIT */
#include "node/service/tracker/impl.h"

#include "node/core/log.h"
#include "node/core/name.h"
#include "store/base/clock.h"
#include "store/base/mem.h"

enum {
    DATAGRAM_MOST = 1200,
    CALLS_FIRST = 64,
    CALLS_MOST = 16384, /* requests that wait for the store */
    NOBODY = UINT32_MAX,
    TRACKER_COUNT_MS = 2000, /* how often the peers are counted */
    AMPLIFICATION = 3,
    TRACKER_LISTEN_MOST = 128,
    HEADERS = 28, /* of IPv4 and UDP: what both datagrams have on the wire as well */
};

#define TOPIC "tracker:"

static void count(struct tracker *tracker, enum metric_id id)
{
    metrics_add(tracker->metrics, id, 1);
}

/* ------------------------------------------------------------------------------------ calls */

static bool grow(struct tracker *tracker)
{
    uint32_t old = tracker->call_count;
    uint32_t size = old > 0 ? old * 2 : CALLS_FIRST;
    if (old == CALLS_MOST) {
        return false;
    }
    tracker->calls = mem_realloc(tracker->calls, size * sizeof(*tracker->calls));
    for (uint32_t i = size; i-- > old;) {
        tracker->calls[i].generation = 0;
        tracker->calls[i].step = NULL;
        tracker->calls[i].next_free = tracker->first_free;
        tracker->first_free = i;
    }
    tracker->call_count = size;
    return true;
}

/* New, or NULL when too many wait. Calls move when the table grows: only here. */
static struct tracker_call *call_open(struct tracker *tracker)
{
    if (tracker->first_free == NOBODY && !grow(tracker)) {
        return NULL;
    }
    struct tracker_call *call = &tracker->calls[tracker->first_free];
    tracker->first_free = call->next_free;
    call->tries = 0;
    call->fresh_put = false;
    call->record_len = 0;
    return call;
}

void tracker_call_close(struct tracker *tracker, struct tracker_call *call)
{
    call->generation++;
    call->step = NULL;
    call->next_free = tracker->first_free;
    tracker->first_free = (uint32_t)(call - tracker->calls);
}

static void on_lookup(void *arg, uint64_t tag, enum lookup_result result, struct span value)
{
    struct tracker *tracker = arg;
    struct tracker_call *call = &tracker->calls[(uint32_t)tag];
    if (call->generation == tag >> 32 && call->step != NULL) {
        call->step(tracker, call, result, value);
    }
}

struct lookup_then tracker_then(struct tracker *tracker, const struct tracker_call *call)
{
    uint64_t index = (uint64_t)(call - tracker->calls);
    return (struct lookup_then){on_lookup, tracker, (uint64_t)call->generation << 32 | index};
}

/* ------------------------------------------------------------------------------------ out */

static void send_out(const struct tracker_socket *from, const struct udp_path *path,
                     struct span datagram)
{
    struct chunk *chunk = chunk_copy(datagram);
    /* A datagram that finds no room is dropped, and counted there: to the peer it is one datagram
     * lost. */
    (void)udp_send(from->udp, path, chunk);
    chunk_unref(chunk);
}

void tracker_reply(struct tracker *tracker, const struct tracker_call *call)
{
    if (tracker->out.len + HEADERS > AMPLIFICATION * ((size_t)call->size + HEADERS)) {
        count(tracker, METRIC_TRACKER_REFUSED_LARGE);
    } else {
        send_out(call->from, &call->path, buf_span(&tracker->out));
    }
    tracker->out.len = 0;
}

/* The one at that address; else one that can tell of incomes. */
static const struct tracker_socket *socket_at(struct tracker *tracker, const struct address *here)
{
    const struct tracker_socket *best = NULL;
    LIST_EACH(it, &tracker->sockets) {
        const struct tracker_socket *socket = LIST_ITEM(it, struct tracker_socket, entry);
        const struct address *own = udp_address(socket->udp);
        if (own->port == here->port && (address_is_any(own) || address_eq(own, here))) {
            return socket;
        }
        best = best == NULL && socket->dialect == TRACKER_SOBANI ? socket : best;
    }
    return best;
}

static void send_income(struct tracker *tracker, const struct udp_path *path, struct span datagram)
{
    const struct tracker_socket *socket = socket_at(tracker, &path->here);
    if (socket != NULL) {
        count(tracker, METRIC_TRACKER_INCOMES);
        send_out(socket, path, datagram);
    }
}

/* On the bus an income stands behind the peer's address and the one it last talked to. */
void tracker_send_from(struct tracker *tracker, const struct tracker_record *record,
                       const struct address *peer)
{
    struct buf topic = {0}, message = {0};
    if (name_same_place(record->node, span_str(tracker->options.node))) {
        const struct udp_path path = {*peer, record->here};
        send_income(tracker, &path, buf_span(&tracker->out));
    } else {
        unsigned char address[ADDRESS_BYTES];
        buf_append(&topic, SPAN(TOPIC));
        buf_append(&topic, record->node);
        tracker_address_pack(peer, address);
        buf_append(&message, span_of(address, sizeof(address)));
        tracker_address_pack(&record->here, address);
        buf_append(&message, span_of(address, sizeof(address)));
        buf_append(&message, buf_span(&tracker->out));
        count(tracker, METRIC_TRACKER_HANDED_OVER);
        /* When the bus is down it is lost, as a datagram may be; the bus counts it. */
        (void)bus_publish(tracker->options.store, buf_span(&topic), buf_span(&message));
    }
    tracker->out.len = 0;
    buf_free(&topic);
    buf_free(&message);
}

/* Another node has something for a peer that last talked to this one. */
static void on_income(void *arg, enum bus_event event, struct span payload)
{
    struct tracker *tracker = arg;
    struct udp_path path;
    if (event != BUS_MESSAGE || payload.len <= (size_t)2 * ADDRESS_BYTES ||
        tracker_address_unpack(span_of(payload.ptr, ADDRESS_BYTES), &path.peer) != 0 ||
        tracker_address_unpack(span_of(payload.ptr + ADDRESS_BYTES, ADDRESS_BYTES), &path.here) !=
            0) {
        return;
    }
    send_income(tracker, &path, span_skip(payload, (size_t)2 * ADDRESS_BYTES));
}

/* ------------------------------------------------------------------------------------ in */

static void serve(struct tracker_socket *from, const struct udp_path *path, struct span datagram)
{
    struct tracker *tracker = from->tracker;
    static const enum metric_id actions[] = {
        [TRACKER_ANNOUNCE] = METRIC_TRACKER_ANNOUNCES,
        [TRACKER_PULSE] = METRIC_TRACKER_PULSES,
        [TRACKER_ALIVE] = METRIC_TRACKER_ALIVES,
        [TRACKER_PUSH] = METRIC_TRACKER_PUSHES,
    };
    struct tracker_call *call = call_open(tracker);
    if (call == NULL) {
        count(tracker, METRIC_TRACKER_REFUSED_LOAD);
        return;
    }
    enum tracker_parsed parsed = tracker_parse(datagram, &path->peer, &call->asked);
    if (parsed != TRACKER_PARSED) {
        count(tracker, parsed == TRACKER_NOT_JSON ? METRIC_TRACKER_REFUSED_JSON
                                                  : METRIC_TRACKER_REFUSED_ACTION);
        tracker_call_close(tracker, call);
        return;
    }
    count(tracker, actions[call->asked.action]);
    call->from = from;
    call->path = *path;
    call->size = (uint32_t)datagram.len;
    tracker_call_start(tracker, call);
}

static void on_datagram(void *arg, const struct udp_path *path, struct span datagram)
{
    struct tracker_socket *from = arg;
    struct tracker *tracker = from->tracker;
    if (!limit_table_take(tracker->rate, &path->peer, 1, clock_monotonic_us())) {
        count(tracker, METRIC_TRACKER_REFUSED_RATE);
    } else if (datagram.len > DATAGRAM_MOST) {
        count(tracker, METRIC_TRACKER_REFUSED_SIZE);
    } else {
        serve(from, path, datagram);
    }
}

/* ------------------------------------------------------------------------------------ sockets */

/* One entry of "[dialect=]host:port,...". */
struct tracker_listen {
    enum tracker_dialect dialect;
    char bind[TRACKER_LISTEN_MOST];
};

static const char *const dialect_names[] = {
    [TRACKER_DOCUMENTED] = "documented",
    [TRACKER_SOBANI] = "sobani",
};

static bool read_dialect(struct span name, enum tracker_dialect *dialect)
{
    *dialect = span_eq(name, span_str(dialect_names[TRACKER_SOBANI])) ? TRACKER_SOBANI
                                                                      : TRACKER_DOCUMENTED;
    return span_eq(name, span_str(dialect_names[*dialect]));
}

static int read_entry(struct span text, enum tracker_dialect usual, struct tracker_listen *entry)
{
    struct span bind = text, name = span_cut(&bind, '=');
    struct address address;
    int family;
    entry->dialect = usual;
    if (bind.ptr == NULL) {
        bind = text;
    } else if (!read_dialect(name, &entry->dialect)) {
        return -1;
    }
    if (bind.len >= sizeof(entry->bind)) {
        return -1;
    }
    memcpy(entry->bind, bind.ptr, bind.len);
    entry->bind[bind.len] = '\0';
    return address_parse_bind(entry->bind, &address, &family);
}

int tracker_check(const struct tracker_options *options, char *error, size_t error_size)
{
    struct span rest = span_str(options->listen);
    while (rest.len > 0) {
        struct tracker_listen entry;
        struct span text = span_trim(span_cut(&rest, ','));
        if (read_entry(text, options->dialect, &entry) != 0) {
            snprintf(
                error, error_size,
                "tracker: '%.*s' is no [dialect=]host:port; dialects are documented and sobani",
                SPAN_ARG(text));
            return -1;
        }
    }
    return options->forward[0] == '\0' ? 0
                                       : tracker_forward_check(options->forward, error, error_size);
}

static int open_socket(struct tracker *tracker, const struct tracker_listen *entry, char *error,
                       size_t error_size)
{
    char text[ADDRESS_TEXT];
    struct tracker_socket *socket = mem_zalloc(sizeof(*socket));
    socket->tracker = tracker;
    socket->dialect = entry->dialect;
    socket->udp =
        udp_open(tracker->options.net, entry->bind, on_datagram, socket, error, error_size);
    if (socket->udp == NULL) {
        free(socket);
        return -1;
    }
    tracker->sobani = tracker->sobani || entry->dialect == TRACKER_SOBANI;
    list_push_back(&tracker->sockets, &socket->entry);
    log_info("listening", LOG_TEXT_FIELD("for", "tracker"),
             LOG_TEXT_FIELD("address", address_text(udp_address(socket->udp), text)),
             LOG_TEXT_FIELD("dialect", dialect_names[entry->dialect]));
    return 0;
}

static int open_sockets(struct tracker *tracker, char *error, size_t error_size)
{
    struct span rest = span_str(tracker->options.listen);
    int rc = 0;
    while (rc == 0 && rest.len > 0) {
        struct tracker_listen entry;
        rc = read_entry(span_trim(span_cut(&rest, ',')), tracker->options.dialect, &entry);
        if (rc == 0) {
            rc = open_socket(tracker, &entry, error, error_size);
        }
    }
    return rc;
}

/* ------------------------------------------------------------------------------------ life */

static void on_count(struct wheel_timer *timer)
{
    struct tracker *tracker = CONTAINER_OF(timer, struct tracker, count_timer);
    metrics_set(tracker->metrics, METRIC_TRACKER_PEERS,
                tracker_peers_count(tracker->peers, clock_monotonic_ms()));
    wheel_set(net_wheel(tracker->options.net), timer, TRACKER_COUNT_MS);
}

static int open_forward(struct tracker *tracker, char *error, size_t error_size)
{
    const char *forward = tracker->options.forward;
    if (forward[0] != '\0') {
        tracker->forward = tracker_forward_new(tracker, forward, error, error_size);
    }
    return forward[0] == '\0' || tracker->forward != NULL ? 0 : -1;
}

struct tracker *tracker_new(const struct tracker_options *options, char *error, size_t error_size)
{
    struct tracker *tracker = mem_zalloc(sizeof(*tracker));
    tracker->options = *options;
    tracker->metrics = net_metrics(options->net);
    tracker->first_free = NOBODY;
    tracker_ids_init(&tracker->ids);
    tracker->peers = tracker_peers_new(options->expiry_ms);
    wheel_timer_init(&tracker->count_timer, on_count);
    wheel_set(net_wheel(options->net), &tracker->count_timer, TRACKER_COUNT_MS);
    tracker->rate = limit_table_new(options->rate, options->burst);
    list_init(&tracker->sockets);
    if (open_sockets(tracker, error, error_size) != 0 ||
        open_forward(tracker, error, error_size) != 0) {
        tracker_free(&tracker);
        return NULL;
    }
    if (tracker->sobani) {
        struct buf topic = {0};
        buf_append(&topic, SPAN(TOPIC));
        buf_append(&topic, span_str(tracker->options.node));
        tracker->incomes = bus_subscribe(tracker->options.store, buf_span(&topic), BUS_NO_ECHO,
                                         on_income, tracker);
        buf_free(&topic);
    }
    return tracker;
}

void tracker_free(struct tracker **tracker)
{
    struct tracker *gone = *tracker;
    if (gone == NULL) {
        return;
    }
    *tracker = NULL;
    tracker_forward_free(&gone->forward);
    LIST_EACH(it, &gone->sockets) {
        struct tracker_socket *socket = LIST_ITEM(it, struct tracker_socket, entry);
        udp_close(&socket->udp);
        list_del(&socket->entry);
        free(socket);
    }
    bus_unsubscribe(&gone->incomes);
    wheel_cancel(&gone->count_timer);
    tracker_peers_free(&gone->peers);
    limit_table_free(&gone->rate);
    free(gone->calls);
    buf_free(&gone->out);
    free(gone);
}
