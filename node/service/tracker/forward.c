/* SPDX-License-Identifier: MIT */
/* Share ids of an older tracker, for as long as some peers still announce themselves there.
 *
 *     unknown share id --> a free slot: push --> `pushed` or `pushReceived`: told to the asker
 *                                            --> `expired`: announce, and push once more
 *                                            --> silence: after a while nobody has it
 *
 * A slot is a socket of its own, since one of the dialects does not say in an answer what was asked.
 * Slots are few: a client that guesses share ids does not reach the older tracker faster than they become
 * free. The host's name is looked up when the node starts and every minute, without waiting. */
#include "node/service/tracker/impl.h"

#include "node/core/log.h"
#include "store/base/mem.h"
#include "store/base/timer.h"
#include "store/resolver/resolver.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    FORWARD_SLOTS = 64,
    FORWARD_PATIENCE_MS = 1500,
    FORWARD_LOOK_UP_MS = 60 * 1000,
    FORWARD_HOST_MOST = 256,
};

struct forward_slot {
    struct tracker_forward *forward;
    struct udp *udp;
    struct event *patience;
    struct tracker_forward_ticket {
        uint32_t call, generation; /* the asker */
    } ticket;
    char share_id[TRACKER_SHARE_ID];
    bool busy, announced;
};

struct tracker_forward {
    struct tracker *tracker;
    struct resolver *resolver;
    struct resolver_query *query; /* under way, or NULL */
    struct event *look_up;
    struct address address; /* port 0: not known yet */
    char host[FORWARD_HOST_MOST];
    uint16_t port;
    struct forward_slot slots[FORWARD_SLOTS];
};

/* ------------------------------------------------------------------------------------ asking */

static void send_to_old(struct forward_slot *slot, struct span datagram)
{
    const struct udp_path path = {.peer = slot->forward->address};
    struct chunk *chunk = chunk_copy(datagram);
    (void)udp_send(slot->udp, &path, chunk); /* lost, it is as one lost on its way */
    chunk_unref(chunk);
}

static void push(struct forward_slot *slot)
{
    struct buf out = {0};
    tracker_print_push(span_of(slot->share_id, TRACKER_SHARE_ID), &out);
    send_to_old(slot, buf_span(&out));
    buf_free(&out);
}

static void announce(struct forward_slot *slot)
{
    struct buf out = {0};
    slot->announced = true;
    tracker_print_announce(&out);
    send_to_old(slot, buf_span(&out));
    buf_free(&out);
}

/* The call that the slot works for, or NULL when it has ended. Frees the slot. */
static struct tracker_call *give_back(struct forward_slot *slot)
{
    struct tracker *tracker = slot->forward->tracker;
    struct tracker_call *call = &tracker->calls[slot->ticket.call];
    event_del(slot->patience);
    slot->busy = false;
    return call->generation == slot->ticket.generation ? call : NULL;
}

static void on_silence(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct forward_slot *slot = arg;
    struct tracker_call *call = give_back(slot);
    if (call != NULL) {
        tracker_end_unknown_id(slot->forward->tracker, call);
    }
}

static void on_found(struct forward_slot *slot, struct span address)
{
    struct tracker *tracker = slot->forward->tracker;
    struct tracker_call *call = give_back(slot);
    if (call != NULL) {
        metrics_add(tracker->metrics, METRIC_TRACKER_FORWARDED, 1);
        tracker_end_pushed(tracker, call, address);
    }
}

static void on_answer(void *arg, const struct udp_path *path, struct span datagram)
{
    struct forward_slot *slot = arg;
    struct buf address = {0};
    if (!slot->busy || !address_eq(&path->peer, &slot->forward->address)) {
        return;
    }
    switch (tracker_parse_answer(datagram, &address)) {
    case TRACKER_SAYS_ADDRESS:
        on_found(slot, buf_span(&address));
        break;
    case TRACKER_SAYS_ANNOUNCED:
        push(slot);
        break;
    case TRACKER_SAYS_EXPIRED:
        if (!slot->announced) {
            announce(slot);
        }
        break;
    case TRACKER_SAYS_NOBODY:
        on_silence(-1, 0, slot);
        break;
    case TRACKER_SAYS_ELSE:
        break;
    }
    buf_free(&address);
}

/* A free one with its socket, or NULL. */
static struct forward_slot *free_slot(struct tracker_forward *forward)
{
    struct tracker *tracker = forward->tracker;
    for (int i = 0; i < FORWARD_SLOTS; i++) {
        struct forward_slot *slot = &forward->slots[i];
        char error[128];
        if (slot->busy) {
            continue;
        }
        if (slot->udp == NULL) {
            const char *any = address_is_ipv4(&forward->address) ? "0.0.0.0:0" : "[::]:0";
            slot->udp = udp_open(tracker->options.net, any, on_answer, slot, error, sizeof(error));
        }
        return slot->udp != NULL ? slot : NULL;
    }
    return NULL;
}

bool tracker_forward_ask(struct tracker *tracker, struct tracker_call *call)
{
    struct tracker_forward *forward = tracker->forward;
    struct forward_slot *slot =
        forward != NULL && forward->address.port != 0 ? free_slot(forward) : NULL;
    if (slot == NULL) {
        metrics_add(tracker->metrics, METRIC_TRACKER_UNFORWARDED, forward != NULL ? 1 : 0);
        return false;
    }
    slot->busy = true;
    slot->announced = false;
    slot->ticket.call = (uint32_t)(call - tracker->calls);
    slot->ticket.generation = call->generation;
    memcpy(slot->share_id, call->asked.share_id, TRACKER_SHARE_ID);
    timer_after(slot->patience, FORWARD_PATIENCE_MS);
    push(slot);
    return true;
}

/* ------------------------------------------------------------------------------------ its address */

static void take_address(struct tracker_forward *forward, const struct address *found)
{
    if (!address_eq(found, &forward->address)) {
        char text[ADDRESS_TEXT];
        log_info("tracker forwards unknown share ids",
                 LOG_TEXT_FIELD("address", address_text(found, text)));
        for (int i = 0; i < FORWARD_SLOTS; i++) {
            if (!forward->slots[i].busy) {
                udp_close(&forward->slots[i].udp); /* it may be of the other family */
            }
        }
        forward->address = *found;
    }
}

static void on_looked_up(void *arg, const struct addrinfo *found, const char *why)
{
    struct tracker_forward *forward = arg;
    struct sockaddr_storage picked;
    forward->query = NULL;
    timer_after(forward->look_up, FORWARD_LOOK_UP_MS);
    if (found == NULL) {
        log_warn("tracker-forward: the name cannot be looked up",
                 LOG_TEXT_FIELD("host", forward->host), LOG_TEXT_FIELD("detail", why));
        return;
    }
    resolver_pick(found, 0, forward->port, &picked);
    const struct address address = address_of((const struct sockaddr *)&picked);
    take_address(forward, &address);
}

static void on_look_up(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct tracker_forward *forward = arg;
    forward->query = resolver_ask(forward->resolver, forward->host, on_looked_up, forward);
}

/* ------------------------------------------------------------------------------------ life */

/* "host:port" or "[v6]:port" into its two parts. */
static int read_host(struct tracker_forward *forward, const char *host_port)
{
    size_t len = strlen(host_port);
    const char *colon = strrchr(host_port, ':');
    if (colon == NULL || colon == host_port || colon[1] == '\0' || len >= FORWARD_HOST_MOST) {
        return -1;
    }
    bool bracketed = host_port[0] == '[' && colon[-1] == ']';
    memcpy(forward->host, host_port + bracketed, len + 1 - bracketed);
    char *end = forward->host + (colon - host_port) - bracketed;
    end[bracketed ? -1 : 0] = '\0';
    long port = strtol(colon + 1, &end, 10);
    forward->port = (uint16_t)port;
    return *end == '\0' && port > 0 && port <= UINT16_MAX ? 0 : -1;
}

int tracker_forward_check(const char *host_port, char *error, size_t error_size)
{
    struct tracker_forward *forward = mem_zalloc(sizeof(*forward));
    int rc = read_host(forward, host_port);
    free(forward);
    if (rc != 0) {
        snprintf(error, error_size, "tracker-forward: '%s' is no host:port", host_port);
    }
    return rc;
}

struct tracker_forward *tracker_forward_new(struct tracker *tracker, const char *host_port,
                                            char *error, size_t error_size)
{
    struct tracker_forward *forward = mem_zalloc(sizeof(*forward));
    struct event_base *base = loop_base(net_loop(tracker->options.net));
    forward->tracker = tracker;
    if (tracker_forward_check(host_port, error, error_size) != 0) {
        free(forward);
        return NULL;
    }
    (void)read_host(forward, host_port);
    forward->resolver = resolver_new(base);
    forward->look_up = evtimer_new(base, on_look_up, forward);
    for (int i = 0; i < FORWARD_SLOTS; i++) {
        forward->slots[i].forward = forward;
        forward->slots[i].patience = evtimer_new(base, on_silence, &forward->slots[i]);
    }
    timer_after(forward->look_up, 0);
    return forward;
}

void tracker_forward_free(struct tracker_forward **forward)
{
    struct tracker_forward *gone = *forward;
    if (gone == NULL) {
        return;
    }
    *forward = NULL;
    event_free(gone->look_up);
    resolver_cancel(&gone->query);
    resolver_free(&gone->resolver);
    for (int i = 0; i < FORWARD_SLOTS; i++) {
        udp_close(&gone->slots[i].udp);
        event_free(gone->slots[i].patience);
    }
    free(gone);
}
