/* SPDX-License-Identifier: MIT */
/* Those over WebSocket, where a frame is one message. */
#include "tests/bench/load/dialect.h"

#include "tests/bench/load/fail.h"
#include "tests/bench/load/sync.h"

static struct buf said;

void dialect_say(struct client *client, const char *format, ...)
{
    va_list args;
    said.len = 0;
    va_start(args, format);
    buf_vprintf(&said, format, args);
    va_end(args);
    client_send(client, buf_span(&said));
}

void dialect_wrap(struct client *client, const char *before, struct span data, const char *after)
{
    said.len = 0;
    buf_append(&said, span_str(before));
    buf_append(&said, data);
    buf_append(&said, span_str(after));
    client_send(client, buf_span(&said));
}

struct span dialect_behind(struct span in, struct span name, size_t len)
{
    const char *at = in.len > 0 ? memmem(in.ptr, in.len, name.ptr, name.len) : NULL;
    size_t start = at != NULL ? (size_t)(at - in.ptr) + name.len : in.len;
    return in.len - start < len ? span_of(NULL, 0) : span_of(in.ptr + start, len);
}

static int64_t note_data(struct span data, struct span in, struct news *news)
{
    news->kind = data.len > 0 ? NEWS_DATA : NEWS_NONE;
    news->data = data;
    return (int64_t)in.len;
}

/* ---------------------------------------------------------------------------- Muster, its floor */

static bool muster_open(struct client *client, const struct place *place)
{
    sync_join(client, place->group, place->sender);
    return false;
}

static void muster_publish(struct client *client, const struct place *place, struct span data)
{
    char before[96];
    snprintf(before, sizeof(before),
             "{\"type\":\"Push\",\"sessionId\":\"%s\",\"data\":", place->group);
    dialect_wrap(client, before, data, "}");
}

/* A member is in once it was told that all are. */
static int64_t muster_take(struct client *client, const struct place *place, struct span in,
                           struct news *news)
{
    struct session_state state;
    if (span_starts_with(in, SPAN("{\"type\":\"Push\""))) {
        return note_data(dialect_behind(in, SPAN("\"data\":"), place->data_size), in, news);
    }
    if (!sync_state(in, &state)) {
        return -1;
    }
    if (!client->joined && state.players == place->members) {
        news->kind = NEWS_IN;
    }
    return (int64_t)in.len;
}

static bool already_in(struct client *client, const struct place *place)
{
    (void)client;
    (void)place;
    return true;
}

static bool nothing_said(struct client *client, const struct place *place)
{
    (void)client;
    (void)place;
    return false;
}

static void publish_plain(struct client *client, const struct place *place, struct span data)
{
    (void)place;
    client_send(client, data);
}

/* Data and nothing around it; "joined" from a server that says so; a receipt of the publisher. */
static int64_t plain_take(struct client *client, const struct place *place, struct span in,
                          struct news *news)
{
    (void)client;
    if (span_eq(in, SPAN("joined"))) {
        news->kind = NEWS_IN;
        return (int64_t)in.len;
    }
    return note_data(in.len == place->data_size ? in : span_of(NULL, 0), in, news);
}

/* ------------------------------------------------------------------------------------ Centrifugo */

static bool centrifugo_open(struct client *client, const struct place *place)
{
    (void)place;
    dialect_say(client, "{\"id\":1,\"connect\":{}}");
    return false;
}

static void centrifugo_publish(struct client *client, const struct place *place, struct span data)
{
    char before[96];
    snprintf(before, sizeof(before),
             "{\"id\":3,\"publish\":{\"channel\":\"%s\",\"data\":", place->group);
    dialect_wrap(client, before, data, "}}");
}

/* Several in one frame are parted by the ends of lines. */
static int64_t centrifugo_take(struct client *client, const struct place *place, struct span in,
                               struct news *news)
{
    struct span rest = in, line = span_cut(&rest, '\n');
    if (span_starts_with(line, SPAN("{\"push\""))) {
        struct span data = dialect_behind(line, SPAN("\"pub\":{\"data\":"), place->data_size);
        note_data(data, line, news);
    } else if (span_eq(line, SPAN("{}"))) {
        client_send(client, line); /* a ping, and its answer */
    } else if (memmem(line.ptr, line.len, "\"error\"", 7) != NULL) {
        return -1;
    } else if (span_starts_with(line, SPAN("{\"id\":1,")) && place->counted) {
        dialect_say(client, "{\"id\":2,\"subscribe\":{\"channel\":\"%s\"}}", place->group);
    } else if (span_starts_with(line, SPAN("{\"id\":1,")) ||
               span_starts_with(line, SPAN("{\"id\":2,"))) {
        news->kind = NEWS_IN;
    }
    return (int64_t)(in.len - rest.len);
}

/* ------------------------------------------------------------------------------------- Socket.IO */

static void socketio_publish(struct client *client, const struct place *place, struct span data)
{
    char before[64];
    snprintf(before, sizeof(before), "42[\"push\",\"%s\",", place->group);
    dialect_wrap(client, before, data, "]");
}

static int64_t socketio_take(struct client *client, const struct place *place, struct span in,
                             struct news *news)
{
    if (span_starts_with(in, SPAN("42[\"push\","))) {
        return note_data(dialect_behind(in, SPAN("42[\"push\","), place->data_size), in, news);
    }
    if (span_eq(in, SPAN("2"))) {
        dialect_say(client, "3"); /* a ping, and its answer */
    } else if (span_starts_with(in, SPAN("0{"))) {
        dialect_say(client, "40");
    } else if (span_starts_with(in, SPAN("40"))) {
        dialect_say(client, "42[\"join\",\"%s\"]", place->group);
    } else if (span_starts_with(in, SPAN("42[\"joined\""))) {
        news->kind = NEWS_IN;
    } else {
        return -1;
    }
    return (int64_t)in.len;
}

/* ---------------------------------------------------------------------------------------------- */

static const struct dialect dialects[] = {
    {.name = "muster",
     .sender_is_spared = true,
     .path = "/connect",
     .open = muster_open,
     .publish = muster_publish,
     .take = muster_take},
    {.name = "floor",
     .sender_is_spared = true,
     .path = "/connect",
     .open = already_in,
     .publish = publish_plain,
     .take = plain_take},
    {.name = "ws",
     .sender_is_spared = true,
     .path = "/%s",
     .open = nothing_said,
     .publish = publish_plain,
     .take = plain_take},
    {.name = "nchan",
     .path = "/sub/%s",
     .sender_path = "/pub/%s",
     .open = already_in,
     .publish = publish_plain,
     .take = plain_take},
    {.name = "socketio",
     .sender_is_spared = true,
     .path = "/socket.io/?EIO=4&transport=websocket",
     .open = nothing_said,
     .publish = socketio_publish,
     .take = socketio_take},
    {.name = "centrifugo",
     .path = "/connection/websocket",
     .open = centrifugo_open,
     .publish = centrifugo_publish,
     .take = centrifugo_take},
};

const struct dialect *dialect_find(const char *name)
{
    const struct dialect *others[] = {&dialect_mqtt, &dialect_nats};
    for (size_t i = 0; i < sizeof(dialects) / sizeof(dialects[0]); i++) {
        if (strcmp(dialects[i].name, name) == 0) {
            return &dialects[i];
        }
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(others[i]->name, name) == 0) {
            return others[i];
        }
    }
    fail("%s: unknown dialect", name);
}
