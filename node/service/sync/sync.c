/* SPDX-License-Identifier: MIT */
#include "node/service/sync/sync.h"

#include "node/core/log.h"
#include "node/proto/json/scan.h"
#include "node/proto/ws/ws.h"
#include "node/service/sync/session.h"
#include "store/base/entropy.h"
#include "store/base/map.h"

#include <inttypes.h>
#include <stdlib.h>

/* The version of the protocol; the desktop plugin goes on only if it is this one. */
#define PROTOCOL_VERSION SPAN("0.1")

enum {
    SESSION_ID_LIMIT = 256, /* bytes */
    SYNC_NAME_LIMIT = 64,
};

struct sync {
    struct sync_options options;
    uint64_t label_key[2]; /* of the hashes that stand for session ids on the fleet's page */
    struct sync_sessions *sessions;
};

/* One /connect socket. */
struct sync_client {
    struct sync *sync;
    struct ws *ws;
    struct sync_seat seat;
    char *name;                 /* for logs; NULL: none given */
    bool plugin_dialect;        /* it is the plugin, which knows notices by another name */
    struct json_coming *coming; /* a long message; mostly NULL */
    bool waiting;               /* paused until its change of session is done */
    bool told_of_outage; /* a push that stayed on this node was reported; until one gets through
                            again */
};

/* ------------------------------------------------------------------------------------ out */

static void warn(struct sync_client *client, struct span text)
{
    struct buf message = {0};
    buf_printf(&message, "{\"type\":\"%s\",\"text\":",
               client->plugin_dialect ? "ServerMsg" : "ServerMessage");
    json_quote(text, &message);
    buf_append(&message, SPAN(",\"level\":\"warn\"}"));
    ws_send(client->ws, WS_TEXT, buf_span(&message));
    buf_free(&message);
}

static void warn_about_type(struct sync_client *client, struct span type)
{
    struct buf text = {0};
    buf_append(&text, SPAN("Unexpected message type: "));
    buf_append(&text, span_of(type.ptr, type.len < SYNC_NAME_LIMIT ? type.len : SYNC_NAME_LIMIT));
    warn(client, buf_span(&text));
    buf_free(&text);
}

/* ------------------------------------------------------------------------------------ in */

/* What a message may hold at its top level. */
enum sync_field { TYPE, SESSION_ID, IS_LEADER, SYNC_NAME, SYNC_FIELDS };

static const struct json_field asked[SYNC_FIELDS] = {[TYPE] = {.name = "type"},
                                                     [SESSION_ID] = {.name = "sessionId"},
                                                     [IS_LEADER] = {.name = "isLeader"},
                                                     [SYNC_NAME] = {.name = "name"}};

/* The first `most` bytes of a string and some: what is longer counts as too long, or is cut. */
static void get_string(const struct json_field *field, size_t most, struct buf *out)
{
    out->len = 0;
    if (field->kind == JSON_KIND_STRING) {
        json_unquote_cut(field->raw, most, out);
    }
}

static void warn_of_outage(struct sync_client *client)
{
    warn(client, SPAN("The cluster cannot be reached: the session's state will come once it can."));
}

void sync_seat_settled(struct sync_seat *seat)
{
    struct sync_client *client = CONTAINER_OF(seat, struct sync_client, seat);
    if (!client->waiting) {
        return;
    }
    client->waiting = false;
    ws_resume(client->ws);
    if (!sync_seat_is_told(seat)) {
        warn_of_outage(client);
    }
}

static void on_set_session(struct sync_client *client, const struct json_field *fields)
{
    struct buf id = {0};
    enum json_kind role = fields[IS_LEADER].kind;
    struct sync_session *now = client->seat.session;
    get_string(&fields[SESSION_ID], SESSION_ID_LIMIT + 1, &id);
    bool same = now != NULL && span_eq(sync_session_id(now), buf_span(&id));
    if (!same) {
        sync_session_leave(&client->seat);
    }
    if (id.len == 0) {
        warn(client, SPAN("Session id cannot be empty!"));
    } else if (id.len > SESSION_ID_LIMIT) {
        warn(client, SPAN("Session id cannot be longer than 256 bytes!"));
    } else if (same) {
        sync_session_set_role(&client->seat, role == JSON_KIND_TRUE);
    } else {
        sync_session_join(client->sync->sessions, buf_span(&id), &client->seat, client->ws,
                          role == JSON_KIND_TRUE);
    }
    /* One change of session at a time: what the client says next is heard when it is counted, so
     * that a flood of them costs the cluster no more than it can do. */
    if (client->seat.session != NULL && sync_session_is_reached(client->seat.session)) {
        client->waiting = true;
        ws_pause(client->ws);
    } else if (client->seat.session != NULL) {
        warn_of_outage(client);
    }
    buf_free(&id);
}

/* Relayed from the session's leader only: any client may guess a session id. */
static void on_push(struct sync_client *client, const struct json_field *fields,
                    struct span message)
{
    struct buf id = {0};
    const struct sync_session *session = client->seat.session;
    get_string(&fields[SESSION_ID], SESSION_ID_LIMIT + 1, &id);
    if (session == NULL || !client->seat.leader ||
        !span_eq(sync_session_id(session), buf_span(&id))) {
        metrics_add(client->sync->options.metrics, METRIC_SYNC_PUSHES_REFUSED, 1);
        warn(client, SPAN("Push refused: this connection is not the leader of that session."));
    } else if (sync_session_push(&client->seat, message) == 0) {
        client->told_of_outage = false;
    } else if (!client->told_of_outage) {
        client->told_of_outage = true;
        warn(client,
             SPAN("The cluster cannot be reached: pushes get to part of the session only."));
    }
    buf_free(&id);
}

static void set_name(struct sync_client *client, struct span name)
{
    free(client->name);
    client->name =
        mem_dup(span_of(name.ptr, name.len < SYNC_NAME_LIMIT ? name.len : SYNC_NAME_LIMIT));
    log_debug("sync client named", LOG_NUMBER_FIELD("connection", conn_id(ws_conn(client->ws))),
              LOG_TEXT_FIELD("name", client->name));
}

static void handle_message(struct sync_client *client, struct span type,
                           const struct json_field *fields, struct span message)
{
    struct buf name = {0};
    if (span_eq_nocase(type, SPAN("Push"))) {
        on_push(client, fields, message);
    } else if (span_eq_nocase(type, SPAN("SetSession"))) {
        on_set_session(client, fields);
    } else if (span_eq_nocase(type, SPAN("Close"))) {
        sync_session_leave(&client->seat);
    } else if (span_eq_nocase(type, SPAN("LeaveSession"))) {
        client->plugin_dialect = true;
        sync_session_leave(&client->seat);
        ws_close(client->ws, WS_NORMAL, "left the session");
    } else if (span_eq_nocase(type, SPAN("SetName"))) {
        client->plugin_dialect = true;
        get_string(&fields[SYNC_NAME], SYNC_NAME_LIMIT, &name);
        set_name(client, buf_span(&name));
        buf_free(&name);
    } else {
        warn_about_type(client, type);
    }
}

static void on_text(struct sync_client *client, struct span payload)
{
    struct json_field fields[SYNC_FIELDS];
    if (json_coming_end(&client->coming, asked, SYNC_FIELDS, payload, fields) != 0) {
        warn(client, SPAN("The message is not a JSON object."));
    } else if (fields[TYPE].kind != JSON_KIND_STRING) {
        warn(client, SPAN("The message has no string \"type\"."));
    } else {
        struct buf type = {0};
        get_string(&fields[TYPE], SYNC_NAME_LIMIT, &type);
        handle_message(client, buf_span(&type), fields, payload);
        buf_free(&type);
    }
}

static void on_message(void *arg, enum ws_kind kind, struct span payload)
{
    struct sync_client *client = arg;
    if (span_eq(payload, SPAN("ping"))) { /* any data frame with that word */
        ws_send(client->ws, WS_TEXT, SPAN("pong"));
    } else if (kind == WS_BINARY) {
        warn_about_type(client, SPAN("binary"));
    } else {
        on_text(client, payload);
    }
    json_coming_free(&client->coming);
}

static void on_part(void *arg, enum ws_kind kind, struct span so_far)
{
    struct sync_client *client = arg;
    if (kind == WS_TEXT) {
        json_coming_feed(&client->coming, asked, SYNC_FIELDS, so_far);
    }
}

static void on_closing(void *arg)
{
    struct sync_client *client = arg;
    sync_session_give(&client->seat);
}

static void on_closed(void *arg)
{
    struct sync_client *client = arg;
    sync_session_leave(&client->seat);
    metrics_sub(client->sync->options.metrics, METRIC_SYNC_SOCKETS, 1);
    json_coming_free(&client->coming);
    free(client->name);
    free(client);
}

static const struct ws_handler handler = {
    .message = on_message, .part = on_part, .closing = on_closing, .closed = on_closed};

static void on_connect(void *arg, struct http_request *request)
{
    struct sync *sync = arg;
    struct sync_client *client = mem_zalloc(sizeof(*client));
    struct buf name = {0};
    bool named = http_query(request, "playerName", &name);
    client->sync = sync;
    sync_seat_init(&client->seat);
    client->ws = ws_accept(request, &handler, client);
    if (client->ws == NULL) {
        free(client);
    } else {
        metrics_add(sync->options.metrics, METRIC_SYNC_SOCKETS, 1);
        ws_set_idle(client->ws, sync->options.idle_ms);
        if (named) {
            set_name(client, buf_span(&name));
        }
    }
    buf_free(&name);
}

static void on_version(void *arg, struct http_request *request)
{
    (void)arg;
    http_reply(request, 200, "text/plain; charset=utf-8", PROTOCOL_VERSION);
}

struct sync *sync_new(struct http_server *server, const struct sync_options *options)
{
    struct sync *sync = mem_zalloc(sizeof(*sync));
    sync->options = *options;
    entropy(sync->label_key, sizeof(sync->label_key));
    sync->sessions = sync_sessions_new(&(struct sync_sessions_options){
        .store = options->store,
        .metrics = options->metrics,
        .node = options->node,
    });
    http_route(server, "GET", "/version", on_version, sync);
    http_route_websocket(server, "/connect", on_connect, sync);
    return sync;
}

void sync_describe(const struct sync *sync, struct buf *out)
{
    struct sync_busy busy[SYNC_BUSIEST_MOST];
    size_t all, count = sync_sessions_busiest(sync->sessions, busy, SYNC_BUSIEST_MOST, &all);
    buf_append(out, SPAN("{\"rows\":["));
    for (size_t i = 0; i < count; i++) {
        uint64_t label = map_siphash(sync->label_key, sync_session_id(busy[i].session));
        buf_printf(out, "%s{\"id\":\"%08" PRIx32 "\",\"members\":%u,\"leader\":%s,\"nodes\":%u}",
                   i > 0 ? "," : "", (uint32_t)label, busy[i].state.players,
                   busy[i].state.leader_connected ? "true" : "false", busy[i].nodes);
    }
    buf_printf(out, "],\"more\":%zu}", all - count);
}

void sync_free(struct sync **sync)
{
    if (*sync != NULL) {
        sync_sessions_free(&(*sync)->sessions);
        free(*sync);
        *sync = NULL;
    }
}
