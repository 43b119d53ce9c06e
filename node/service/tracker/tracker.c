/* SPDX-License-Identifier: MIT */
#include "node/service/tracker/impl.h"

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

static void send_out(struct tracker *tracker, const struct address *peer, struct span datagram)
{
    struct chunk *chunk = chunk_copy(datagram);
    /* A datagram that finds no room is dropped, and counted there: to the peer it is one datagram
     * lost. */
    (void)udp_send(tracker->udp, peer, chunk);
    chunk_unref(chunk);
}

void tracker_reply(struct tracker *tracker, const struct tracker_call *call)
{
    if (tracker->out.len + HEADERS > AMPLIFICATION * ((size_t)call->size + HEADERS)) {
        count(tracker, METRIC_TRACKER_REFUSED_LARGE);
    } else {
        send_out(tracker, &call->peer, buf_span(&tracker->out));
    }
    tracker->out.len = 0;
}

void tracker_send_from(struct tracker *tracker, struct span node, const struct address *peer)
{
    struct buf topic = {0}, message = {0};
    if (name_same_place(node, span_str(tracker->options.node))) {
        count(tracker, METRIC_TRACKER_INCOMES);
        send_out(tracker, peer, buf_span(&tracker->out));
    } else {
        unsigned char address[ADDRESS_BYTES];
        tracker_address_pack(peer, address);
        buf_append(&topic, SPAN(TOPIC));
        buf_append(&topic, node);
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
    struct address peer;
    if (event != BUS_MESSAGE || payload.len <= ADDRESS_BYTES ||
        tracker_address_unpack(span_of(payload.ptr, ADDRESS_BYTES), &peer) != 0) {
        return;
    }
    count(tracker, METRIC_TRACKER_INCOMES);
    send_out(tracker, &peer, span_skip(payload, ADDRESS_BYTES));
}

/* ------------------------------------------------------------------------------------ in */

static void serve(struct tracker *tracker, const struct address *peer, struct span datagram)
{
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
    enum tracker_parsed parsed = tracker_parse(datagram, peer, &call->asked);
    if (parsed != TRACKER_PARSED) {
        count(tracker, parsed == TRACKER_NOT_JSON ? METRIC_TRACKER_REFUSED_JSON
                                                  : METRIC_TRACKER_REFUSED_ACTION);
        tracker_call_close(tracker, call);
        return;
    }
    count(tracker, actions[call->asked.action]);
    call->peer = *peer;
    call->size = (uint32_t)datagram.len;
    tracker_call_start(tracker, call);
}

static void on_datagram(void *arg, const struct address *peer, struct span datagram)
{
    struct tracker *tracker = arg;
    if (!limit_table_take(tracker->rate, peer, 1, clock_monotonic_us())) {
        count(tracker, METRIC_TRACKER_REFUSED_RATE);
    } else if (datagram.len > DATAGRAM_MOST) {
        count(tracker, METRIC_TRACKER_REFUSED_SIZE);
    } else {
        serve(tracker, peer, datagram);
    }
}

/* ------------------------------------------------------------------------------------ life */

static void on_count(struct wheel_timer *timer)
{
    struct tracker *tracker = CONTAINER_OF(timer, struct tracker, count_timer);
    metrics_set(tracker->metrics, METRIC_TRACKER_PEERS,
                tracker_peers_count(tracker->peers, clock_monotonic_ms()));
    wheel_set(net_wheel(tracker->options.net), timer, TRACKER_COUNT_MS);
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
    tracker->udp = udp_open(options->net, options->bind, on_datagram, tracker, error, error_size);
    if (tracker->udp == NULL) {
        tracker_free(&tracker);
        return NULL;
    }
    if (options->dialect == TRACKER_SOBANI) {
        struct buf topic = {0};
        buf_append(&topic, SPAN(TOPIC));
        buf_append(&topic, span_str(tracker->options.node));
        tracker->incomes = bus_subscribe(tracker->options.store, buf_span(&topic), BUS_NO_ECHO,
                                         on_income, tracker);
        buf_free(&topic);
    }
    return tracker;
}

const struct address *tracker_address(const struct tracker *tracker)
{
    return udp_address(tracker->udp);
}

void tracker_free(struct tracker **tracker)
{
    struct tracker *gone = *tracker;
    if (gone == NULL) {
        return;
    }
    *tracker = NULL;
    udp_close(&gone->udp);
    bus_unsubscribe(&gone->incomes);
    wheel_cancel(&gone->count_timer);
    tracker_peers_free(&gone->peers);
    limit_table_free(&gone->rate);
    free(gone->calls);
    buf_free(&gone->out);
    free(gone);
}
