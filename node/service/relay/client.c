/* SPDX-License-Identifier: MIT */
#include "node/service/relay/client.h"

#include "node/core/log.h"
#include "node/net/conn_peer.h"
#include "node/net/net.h"
#include "node/proto/http/auth.h"
#include "node/proto/json/stream.h"
#include "node/proto/proxy.h"
#include "node/service/relay/packet.h"
#include "store/base/check.h"
#include "store/base/clock.h"

#include <stdlib.h>
#include <unistd.h>

enum {
    FAREWELL_MS = 5 * 1000,
    LAST_WORDS_MS = 2500,         /* for what waits when the node ends */
    MOST_TURNED_AWAY = 64,        /* at once; more are closed without ceremony */
    STRETCH_US = 2 * 1000 * 1000, /* the rate may be used that far ahead */
    SLOWED_MS = 100,
};

enum relay_client_state {
    CLIENT_HEADER,
    CLIENT_NEW,
    CLIENT_WAITING,
    CLIENT_JOINED,
    CLIENT_LEAVING,
    CLIENT_OVER
};

struct relay_client {
    struct relay_terms *terms;
    struct relay_network *network;
    struct conn *conn;
    struct relay_paced out;
    struct relay_seat seat;
    struct json_stream in;
    struct buf head;           /* of the PROXY header, while it comes in */
    struct address peer;       /* as the header tells, where there is one */
    struct buf name;           /* as the handshake tells */
    struct limit_bucket limit; /* of packets */
    enum relay_client_state state;
    bool left_early;      /* before it was admitted: to be ended when the turn is over */
    bool unlisted;        /* the directory lost it */
    bool slowed;          /* it says too much */
    bool told_of_unknown; /* an unknown packet was logged */
    bool turned_away;
};

static void log_client(enum log_level level, const char *message, const struct relay_client *client,
                       const char *detail)
{
    char peer[ADDRESS_TEXT];
    struct span name = client->name.len > 0 ? buf_span(&client->name) : SPAN("");
    address_text(&client->peer, peer);
    LOG_AT(level, message, LOG_NUMBER_FIELD("connection", conn_id(client->conn)),
           LOG_TEXT_FIELD("peer", peer),
           LOG_SPAN_FIELD("network", relay_network_name(client->network)),
           LOG_SPAN_FIELD("name", name), LOG_NUMBER_FIELD("identifier", client->seat.id),
           LOG_TEXT_FIELD("detail", detail));
}

static bool is_over(const struct relay_client *client)
{
    return client->state >= CLIENT_LEAVING;
}

static bool wants_bytes(const struct relay_client *client)
{
    return client->state == CLIENT_HEADER || client->state == CLIENT_NEW ||
           (client->state == CLIENT_JOINED && !client->unlisted && !client->slowed) ||
           is_over(client);
}

/* Reads it, or not, as its state says. */
static void set_reading(struct relay_client *client)
{
    if (wants_bytes(client)) {
        conn_resume(client->conn, CONN_PAUSE_SERVICE);
    } else {
        conn_pause(client->conn, CONN_PAUSE_SERVICE);
    }
}

/* Every "joined" has its "left". */
static void log_end(struct relay_client *client, const char *reason)
{
    if (client->state == CLIENT_JOINED) {
        log_client(LOG_INFO, "relay server left", client, reason);
    } else if (!is_over(client)) {
        log_client(LOG_INFO, "relay connection refused", client, reason);
        metrics_add(client->terms->metrics, METRIC_RELAY_REFUSED, 1);
    }
}

static void finish(struct relay_client *client)
{
    CHECK(client->state != CLIENT_OVER && client->seat.network == NULL);
    client->state = CLIENT_OVER;
    conn_finish(client->conn, FAREWELL_MS);
}

/* The one way in which a connection is ended from here. */
static void end(struct relay_client *client, const char *reason)
{
    if (client->state == CLIENT_OVER) {
        return;
    }
    log_end(client, reason);
    relay_network_leave(&client->seat);
    finish(client);
}

/* What others found in this turn, in which they may have been walking a list that it is in. */
static void on_poked(void *arg)
{
    struct relay_client *client = arg;
    if (relay_paced_is_cut(&client->out)) {
        end(client, "it does not read");
    } else if (client->left_early) {
        end(client, "it left before it was admitted");
    } else if (client->state == CLIENT_LEAVING && relay_paced_waiting(&client->out) == 0) {
        finish(client);
    }
}

/* The node ends: the others are told that it left, and it is told what waits for it. */
static void on_drain(void *arg)
{
    struct relay_client *client = arg;
    log_end(client, "the node ends");
    relay_network_tell_rest(&client->seat);
    relay_network_leave(&client->seat);
    if (relay_paced_waiting(&client->out) == 0) {
        finish(client);
        return;
    }
    client->state = CLIENT_LEAVING;
    set_reading(client);
    conn_set_timer(client->conn, LAST_WORDS_MS);
    relay_paced_hurry(&client->out);
}

/* ------------------------------------------------------------------------------------ packets */

/* The network is one whose game servers were said to take a stream of packets. */
static bool is_unpaced(const struct relay_client *client)
{
    struct span rest = span_str(client->terms->unpaced);
    while (rest.len > 0) {
        if (span_eq(span_trim(span_cut(&rest, ',')), relay_network_name(client->network))) {
            return true;
        }
    }
    return false;
}

static void on_handshake(struct relay_client *client, struct span packet)
{
    struct relay_handshake handshake = {0};
    struct span secret = span_str(client->terms->secret);
    if (relay_handshake_read(packet, &handshake) != 0) {
        end(client, "another version of the protocol");
    } else if (secret.len > 0 && !http_secret_eq(buf_span(&handshake.secret), secret)) {
        end(client, "wrong secret");
    } else {
        buf_append(&client->name, buf_span(&handshake.name));
        if (handshake.stream || is_unpaced(client)) {
            relay_paced_let_go(&client->out);
        }
        CHECK(client->state == CLIENT_NEW);
        client->state = CLIENT_WAITING;
        conn_set_timer(client->conn, client->terms->timeout_ms);
        relay_network_join(client->network, &client->seat, &client->out, &client->peer,
                           buf_span(&handshake.look), handshake.players);
    }
    relay_handshake_deinit(&handshake);
}

static void on_packet(struct relay_client *client, struct span packet)
{
    struct buf type = {0};
    enum relay_kind kind = relay_packet_kind(packet, &type);
    if (client->state == CLIENT_NEW && kind == RELAY_HANDSHAKE) {
        on_handshake(client, packet);
    } else if (client->state == CLIENT_NEW) {
        end(client, "something before the handshake");
    } else if (kind == RELAY_HANDSHAKE) {
        end(client, "a second handshake");
    } else if (kind == RELAY_SAYING) {
        struct buf text = {0};
        relay_paced_heard(&client->out);
        relay_print_saying(packet, client->seat.id, &text);
        relay_network_say(&client->seat, buf_span(&text));
        buf_free(&text);
    } else {
        metrics_add(client->terms->metrics, METRIC_RELAY_IGNORED, 1);
        if (!client->told_of_unknown) {
            client->told_of_unknown = true;
            log_client(LOG_WARN, "relay packet of unknown type ignored", client, buf_text(&type));
        }
    }
    buf_free(&type);
}

/* Each packet uses up its part of a second; a client too far ahead of the clock is not read for a
 * while, and TCP holds it back. */
static void count_packet(struct relay_client *client)
{
    uint32_t rate = client->terms->rate;
    if (rate == 0) {
        return;
    }
    uint64_t ahead_us = limit_charge(&client->limit, rate, clock_monotonic_us());
    if (ahead_us > STRETCH_US && client->state == CLIENT_JOINED) {
        client->slowed = true;
        conn_set_timer(client->conn, SLOWED_MS);
    }
}

/* ------------------------------------------------------------------------------------ bytes */

/* Returns how many bytes belong to the PROXY header. */
static size_t take_header(struct relay_client *client, struct span bytes)
{
    struct proxy proxy;
    size_t taken;
    int rc = proxy_gather(&client->head, bytes, &proxy, &taken);
    if (rc < 0) {
        end(client, "no PROXY header");
    }
    if (rc > 0) {
        client->peer = proxy.known ? proxy.source : client->peer;
        client->state = CLIENT_NEW;
        bool crowded = !conn_peer_may_be(client->conn, &client->peer);
        conn_peer_set(client->conn, &client->peer);
        if (crowded) {
            end(client, "too many connections from this address");
        }
    }
    return taken;
}

static size_t on_data(void *arg, struct span bytes)
{
    struct relay_client *client = arg;
    struct span rest = bytes;
    if (client->state == CLIENT_HEADER) {
        rest = span_skip(rest, take_header(client, bytes));
    }
    while (rest.len > 0 && wants_bytes(client) && !is_over(client)) {
        struct span packet;
        int rc = json_stream_next(&client->in, &rest, &packet);
        if (rc > 0) {
            on_packet(client, packet);
            count_packet(client);
        } else if (rc == JSON_STREAM_TOO_LONG) {
            end(client, "a packet over the size limit");
        } else if (rc < 0) {
            end(client, "no JSON object");
        }
    }
    set_reading(client);
    return is_over(client) ? bytes.len : bytes.len - rest.len;
}

static void on_timer(void *arg)
{
    struct relay_client *client = arg;
    if (client->state == CLIENT_JOINED) {
        client->slowed = false;
        set_reading(client);
    } else if (client->state == CLIENT_WAITING) {
        /* The time for an answer begins when the rates of joins let it pass. */
        uint64_t now = clock_monotonic_ms(), until = now;
        if (relay_network_is_held_back(&client->seat)) {
            until = now + client->terms->timeout_ms;
        } else if (client->seat.claimed) {
            until = client->seat.claimed_ms + client->terms->timeout_ms;
        }
        if (until > now && !conn_peer_left(client->conn)) {
            conn_set_timer(client->conn, (uint32_t)(until - now));
        } else {
            end(client, "not admitted in time: the cluster cannot be reached");
        }
    } else if (client->state == CLIENT_LEAVING) {
        finish(client);
    } else {
        end(client, "no handshake in time");
    }
}

static void on_closed(void *arg, enum conn_end how)
{
    struct relay_client *client = arg;
    static const char *const reasons[] = {
        [CONN_END_PEER] = "closed by the peer",
        [CONN_END_ERROR] = "connection lost",
        [CONN_END_LOCAL] = "it does not read, or the node ends",
    };
    if (client->state == CLIENT_JOINED) {
        log_client(LOG_INFO, "relay server left", client, reasons[how]);
    }
    client->terms->turned_away -= client->turned_away ? 1 : 0;
    relay_network_leave(&client->seat);
    relay_paced_deinit(&client->out);
    json_stream_deinit(&client->in);
    buf_free(&client->head);
    buf_free(&client->name);
    free(client);
}

static void on_drained(void *arg)
{
    struct relay_client *client = arg;
    relay_paced_wrote(&client->out);
}

static const struct conn_handler handler = {.data = on_data,
                                            .drained = on_drained,
                                            .timer = on_timer,
                                            .poked = on_poked,
                                            .drain = on_drain,
                                            .closed = on_closed};

void relay_client_accept(struct relay_terms *terms, struct relay_network *network, int fd,
                         const struct address *peer)
{
    bool admitted = net_admit(terms->net, peer);
    if (!admitted && terms->turned_away >= MOST_TURNED_AWAY) {
        close(fd);
        return;
    }
    struct relay_client *client = mem_zalloc(sizeof(*client));
    client->terms = terms;
    client->network = network;
    client->peer = *peer;
    client->state = cidr_list_has(terms->proxies, peer) ? CLIENT_HEADER : CLIENT_NEW;
    list_init(&client->seat.entry);
    list_init(&client->seat.member.entry);
    json_stream_init(&client->in, terms->packet_limit);
    client->conn = conn_new(terms->net, fd, peer, &handler, client);
    relay_paced_init(&client->out, terms->pacer, client->conn);
    conn_set_timer(client->conn, terms->timeout_ms);
    if (!admitted) {
        client->turned_away = true;
        terms->turned_away++;
        finish(client);
    }
}

/* ------------------------------------------------------------------------------------ network */

static struct relay_client *client_of(struct relay_seat *seat)
{
    return CONTAINER_OF(seat, struct relay_client, seat);
}

bool relay_seat_has_left(struct relay_seat *seat)
{
    struct relay_client *client = client_of(seat);
    if (relay_paced_is_cut(&client->out)) {
        return true;
    }
    if (!client->left_early && conn_peer_left(client->conn)) {
        client->left_early = true;
        conn_poke(client->conn);
    }
    return client->left_early;
}

void relay_seat_admitted(struct relay_seat *seat)
{
    struct relay_client *client = client_of(seat);
    struct buf text = {0};
    chunk_begin(&text);
    CHECK(client->state == CLIENT_WAITING);
    client->state = CLIENT_JOINED;
    conn_set_member(client->conn);
    conn_set_timer(client->conn, 0);
    relay_print_acknowledge(relay_network_directory(client->network), seat->id,
                            client->terms->host_look, &text);
    struct chunk *chunk = chunk_end(&text);
    relay_paced_send(&client->out, chunk,
                     (struct relay_paced_mark){.topic = RELAY_HOST_ID, .kind = PACED_BEGIN});
    chunk_unref(chunk);
    log_client(LOG_INFO, "relay server joined", client, "");
    set_reading(client);
}

void relay_seat_listed(struct relay_seat *seat, bool listed)
{
    struct relay_client *client = client_of(seat);
    client->unlisted = !listed;
    set_reading(client);
}

void relay_seat_displaced(struct relay_seat *seat)
{
    end(client_of(seat), "its identifier went to another server");
}
