/* SPDX-License-Identifier: MIT */
#include "node/service/relay/packet.h"

#include "node/proto/json/walk.h"
#include "store/base/mem.h"
#include "store/base/utf8.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define VERSION 1.0
#define PLAYER_COUNT "playerCount"
#define HOST_IDENTIFIER "hostIdentifier"
#define ACKNOWLEDGE "acknowledge"
#define WHITE SPAN("ffffff")

enum {
    TYPE_LIMIT = 64, /* bytes */
    RELAY_PACKET_NAME_LIMIT = 128,
    RELAY_PACKET_SHOWN_NAME = 48, /* bytes of a name on the fleet's page */
    PREFIX_LIMIT = 64,
    RELAY_PACKET_SECRET_LIMIT = 1024,
    COLOR_DIGITS = 6,
    NUMBER_TEXT = 32,
    DELETE = 0x7f,
};

static void get_text(const struct json_field *field, size_t limit, struct buf *out)
{
    out->len = 0;
    if (field->kind == JSON_KIND_STRING) {
        json_unquote_cut(field->raw, limit, out);
        out->len = utf8_cut(buf_span(out), limit).len;
    }
}

/* A text that others show and that every one of them is told: control characters become spaces, and
 * what it takes between quotes is at most `limit` bytes. */
static void get_shown(const struct json_field *field, size_t limit, struct buf *out)
{
    size_t quoted = 0, fits = 0;
    get_text(field, limit, out);
    for (; fits < out->len; fits++) {
        unsigned char c = (unsigned char)out->ptr[fits];
        if (c < ' ' || c == DELETE) {
            out->ptr[fits] = ' ';
        }
        quoted += c == '"' || c == '\\' ? 2 : 1;
        if (quoted > limit) {
            break;
        }
    }
    out->len = utf8_cut(buf_span(out), fits).len;
}

/* `missing` where it is no number. */
static double get_number(const struct json_field *field, double missing)
{
    char text[NUMBER_TEXT];
    if (field->kind != JSON_KIND_NUMBER || field->raw.len >= sizeof(text)) {
        return missing;
    }
    memcpy(text, field->raw.ptr, field->raw.len);
    text[field->raw.len] = '\0';
    return strtod(text, NULL);
}

/* ------------------------------------------------------------------------------------ in */

enum relay_kind relay_packet_kind(struct span packet, struct buf *type)
{
    struct json_field field = {.name = "type"};
    type->len = 0;
    if (json_fields(packet, &field, 1) != 0) {
        return RELAY_OTHER;
    }
    get_text(&field, TYPE_LIMIT, type);
    struct span word = buf_span(type);
    if (span_eq(word, SPAN("handshake"))) {
        return RELAY_HANDSHAKE;
    }
    bool saying = span_eq(word, SPAN("message")) || span_eq(word, SPAN("join")) ||
                  span_eq(word, SPAN("leave"));
    return saying ? RELAY_SAYING : RELAY_OTHER;
}

static uint64_t get_players(const struct json_field *field)
{
    double players = get_number(field, 0);
    return players >= 0 && players < 1e9 ? (uint64_t)players : 0;
}

int relay_handshake_read(struct span packet, struct relay_handshake *handshake)
{
    enum {
        RELAY_PACKET_NAME,
        COLOR,
        PREFIX,
        PLAYERS,
        PROTOCOL,
        RELAY_PACKET_SECRET,
        STREAM,
        RELAY_PACKET_FIELDS
    };
    struct json_field fields[RELAY_PACKET_FIELDS] = {
        [RELAY_PACKET_NAME] = {.name = "name"}, [COLOR] = {.name = "color"},
        [PREFIX] = {.name = "prefix"},          [PLAYERS] = {.name = "playerCount"},
        [PROTOCOL] = {.name = "version"},       [RELAY_PACKET_SECRET] = {.name = "secret"},
        [STREAM] = {.name = "stream"},
    };
    struct buf color = {0}, prefix = {0};
    if (json_fields(packet, fields, RELAY_PACKET_FIELDS) != 0 ||
        get_number(&fields[PROTOCOL], 0) != VERSION) {
        return -1;
    }
    get_shown(&fields[RELAY_PACKET_NAME], RELAY_PACKET_NAME_LIMIT, &handshake->name);
    get_text(&fields[COLOR], COLOR_DIGITS + 2, &color);
    get_shown(&fields[PREFIX], PREFIX_LIMIT, &prefix);
    get_text(&fields[RELAY_PACKET_SECRET], RELAY_PACKET_SECRET_LIMIT, &handshake->secret);
    handshake->players = get_players(&fields[PLAYERS]);
    handshake->stream = fields[STREAM].kind == JSON_KIND_TRUE;
    handshake->look.len = 0;
    relay_print_look(buf_span(&handshake->name), buf_span(&color), buf_span(&prefix),
                     &handshake->look);
    buf_free(&color);
    buf_free(&prefix);
    return 0;
}

void relay_handshake_deinit(struct relay_handshake *handshake)
{
    buf_free(&handshake->look);
    buf_free(&handshake->name);
    buf_free(&handshake->secret);
}

/* ------------------------------------------------------------------------------------ a host's news */

/* A server that a host tells of. */
struct told_server {
    struct list entry;
    struct relay_server server;
    struct buf look;
};

static uint64_t get_id(const struct json_field *field)
{
    double id = get_number(field, -1);
    return id >= 0 && id < 9007199254740992.0 ? (uint64_t)id : UINT64_MAX;
}

/* Appends the server that the object tells of; nothing where it has no identifier: it could neither speak
 * nor leave. */
static void tell_server(struct span object, struct relay_told *told)
{
    enum { TOLD_ID, TOLD_NAME, TOLD_COLOR, TOLD_PREFIX, TOLD_PLAYERS, TOLD_FIELDS };
    struct json_field fields[TOLD_FIELDS] = {
        [TOLD_ID] = {.name = "identifier"},      [TOLD_NAME] = {.name = "name"},
        [TOLD_COLOR] = {.name = "color"},        [TOLD_PREFIX] = {.name = "prefix"},
        [TOLD_PLAYERS] = {.name = PLAYER_COUNT},
    };
    struct buf name = {0}, color = {0}, prefix = {0};
    if (json_fields(object, fields, TOLD_FIELDS) != 0 || get_id(&fields[TOLD_ID]) == UINT64_MAX) {
        return;
    }
    struct told_server *added = mem_zalloc(sizeof(*added));
    get_shown(&fields[TOLD_NAME], RELAY_PACKET_NAME_LIMIT, &name);
    get_text(&fields[TOLD_COLOR], COLOR_DIGITS + 2, &color);
    get_shown(&fields[TOLD_PREFIX], PREFIX_LIMIT, &prefix);
    relay_print_look(buf_span(&name), buf_span(&color), buf_span(&prefix), &added->look);
    added->server = (struct relay_server){.id = get_id(&fields[TOLD_ID]),
                                          .players = get_players(&fields[TOLD_PLAYERS]),
                                          .look = buf_span(&added->look)};
    list_push_back(&told->servers, &added->entry);
    buf_free(&name);
    buf_free(&color);
    buf_free(&prefix);
}

static void told_server_free(struct told_server *server)
{
    list_del(&server->entry);
    buf_free(&server->look);
    free(server);
}

/* The host stands among the servers, but is none that could leave. One that does not say how it looks, or
 * says it twice, has a look all the same: ours are told it. */
static void take_out_host(struct relay_told *told)
{
    LIST_EACH(it, &told->servers) {
        struct told_server *server = LIST_ITEM(it, struct told_server, entry);
        if (server->server.id == told->host) {
            told->looks.len = 0;
            buf_append(&told->looks, server->server.look);
            told_server_free(server);
        }
    }
    if (told->looks.len == 0) {
        relay_print_look(SPAN("Host"), SPAN(""), SPAN(""), &told->looks);
    }
    told->host_look = buf_span(&told->looks);
}

enum relay_news relay_told_read(struct span packet, struct relay_told *told)
{
    enum { NEWS_TYPE, NEWS_ID, NEWS_HOST, NEWS_SERVERS, NEWS_FIELDS };
    struct json_field fields[NEWS_FIELDS] = {
        [NEWS_TYPE] = {.name = "type"},
        [NEWS_ID] = {.name = "identifier"},
        [NEWS_HOST] = {.name = HOST_IDENTIFIER},
        [NEWS_SERVERS] = {.name = "connections"},
    };
    struct buf type = {0};
    enum relay_news news = RELAY_NEWS_ELSE;
    list_init(&told->servers);
    if (relay_packet_kind(packet, &type) == RELAY_SAYING) {
        news = RELAY_NEWS_SAYING;
    } else if (span_eq(buf_span(&type), SPAN(ACKNOWLEDGE))) {
        news = RELAY_NEWS_WELCOME;
    } else if (span_eq(buf_span(&type), SPAN("connection"))) {
        news = RELAY_NEWS_CAME;
        tell_server(packet, told);
    } else if (span_eq(buf_span(&type), SPAN("disconnect"))) {
        news = RELAY_NEWS_WENT;
    }
    buf_free(&type);
    if (json_fields(packet, fields, NEWS_FIELDS) != 0) {
        return RELAY_NEWS_ELSE;
    }
    told->id = get_id(&fields[NEWS_ID]);
    if (news == RELAY_NEWS_WELCOME) {
        bool list = fields[NEWS_SERVERS].kind == JSON_KIND_ARRAY;
        struct span rest = list ? json_inside(fields[NEWS_SERVERS].raw) : SPAN(""), raw;
        while (json_next_element(&rest, &raw)) {
            tell_server(raw, told);
        }
        told->host = get_id(&fields[NEWS_HOST]);
        take_out_host(told);
    }
    return news;
}

void relay_told_each(const struct relay_told *told,
                     void (*fn)(void *arg, const struct relay_server *server), void *arg)
{
    for (struct list *it = told->servers.next; it != &told->servers; it = it->next) {
        fn(arg, &LIST_ITEM(it, struct told_server, entry)->server);
    }
}

void relay_told_deinit(struct relay_told *told)
{
    LIST_EACH(it, &told->servers) {
        told_server_free(LIST_ITEM(it, struct told_server, entry));
    }
    buf_free(&told->looks);
}

/* ------------------------------------------------------------------------------------ out */

void relay_print_handshake(struct span look, uint64_t players, struct span secret, bool stream,
                           struct buf *out)
{
    buf_append(out, SPAN("{\"type\":\"handshake\",\"version\":1,"));
    buf_append(out, look);
    buf_printf(out, ",\"" PLAYER_COUNT "\":%" PRIu64, players);
    if (secret.len > 0) {
        buf_append(out, SPAN(",\"secret\":"));
        json_quote(secret, out);
    }
    buf_append(out, stream ? SPAN(",\"stream\":true}") : SPAN("}"));
}

bool relay_is_color(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (isxdigit((unsigned char)text.ptr[i]) == 0) {
            return false;
        }
    }
    return text.len == COLOR_DIGITS;
}

/* Six digits of "#00aaff", "#0af" or "0af", and of what they already are; other text as it is. */
static void spell_out_color(struct span text, struct buf *out)
{
    if (text.len > 0 && text.ptr[0] == '#') {
        text = span_skip(text, 1);
    }
    for (size_t i = 0; i < text.len; i++) {
        buf_append(out, span_of(&text.ptr[i], 1));
        if (text.len == COLOR_DIGITS / 2) {
            buf_append(out, span_of(&text.ptr[i], 1));
        }
    }
}

void relay_print_look(struct span name, struct span color, struct span prefix, struct buf *out)
{
    buf_append(out, SPAN("\"name\":"));
    json_quote(name, out);
    struct buf digits = {0};
    spell_out_color(color, &digits);
    buf_append(out, SPAN(",\"color\":"));
    json_quote(relay_is_color(buf_span(&digits)) ? buf_span(&digits) : WHITE, out);
    buf_free(&digits);
    buf_append(out, SPAN(",\"prefix\":"));
    json_quote(prefix, out);
}

void relay_print_saying(struct span packet, uint64_t id, struct buf *out)
{
    char text[NUMBER_TEXT];
    int len = snprintf(text, sizeof(text), "%" PRIu64, id);
    if (json_set(packet, "identifier", span_of(text, (size_t)len), out) != 0) {
        out->len = 0; /* never: the packet is a valid object */
    }
}

void relay_print_connection(const struct relay_server *server, struct buf *out)
{
    buf_printf(out, "{\"type\":\"connection\",\"identifier\":%" PRIu64 ",", server->id);
    buf_append(out, server->look);
    buf_printf(out, ",\"playerCount\":%" PRIu64 "}", server->players);
}

void relay_print_disconnect(uint64_t id, struct buf *out)
{
    buf_printf(out, "{\"type\":\"disconnect\",\"identifier\":%" PRIu64 "}", id);
}

void relay_print_known(uint64_t id, struct span look, struct buf *out)
{
    buf_printf(out, "{\"identifier\":%" PRIu64 ",", id);
    buf_append(out, look);
    buf_append(out, SPAN("}"));
}

void relay_print_acknowledge(const struct map *directory, uint64_t id, struct span host_look,
                             struct buf *out)
{
    buf_printf(out,
               "{\"type\":\"acknowledge\",\"identifier\":%" PRIu64 ",\"hostIdentifier\":%d,"
               "\"playerCount\":0,\"connections\":[",
               id, RELAY_HOST_ID);
    relay_print_known(RELAY_HOST_ID, host_look, out);
    MAP_EACH(it, directory) {
        const struct relay_server *server = MAP_ENTRY(it, struct relay_server, entry);
        if (server->id != id) {
            buf_append(out, SPAN(","));
            buf_append(out, buf_span(&server->known));
        }
    }
    buf_append(out, SPAN("]}"));
}

void relay_print_servers(const struct map *directory, struct buf *out)
{
    const char *before = "";
    buf_append(out, SPAN("["));
    MAP_EACH(it, directory) {
        const struct relay_server *server = MAP_ENTRY(it, struct relay_server, entry);
        buf_printf(out, "%s{\"identifier\":%" PRIu64 ",", before, server->id);
        buf_append(out, server->look);
        buf_printf(out, ",\"playerCount\":%" PRIu64 ",\"node\":", server->players);
        json_quote(server->node, out);
        buf_append(out, SPAN("}"));
        before = ",";
    }
    buf_append(out, SPAN("]"));
}

/* ------------------------------------------------------------------------------------ the page */

static void print_name(struct span look, struct buf *out)
{
    struct json_field name = {.name = "name"};
    struct buf object = {0}, text = {0};
    buf_append(&object, SPAN("{"));
    buf_append(&object, look);
    buf_append(&object, SPAN("}"));
    if (json_fields(buf_span(&object), &name, 1) == 0) {
        get_text(&name, RELAY_PACKET_NAME_LIMIT, &text);
    }
    json_quote_cut(buf_span(&text), RELAY_PACKET_SHOWN_NAME, out);
    buf_free(&object);
    buf_free(&text);
}

void relay_print_here(const struct list *seats, size_t most, struct buf *out)
{
    size_t shown = 0, more = 0;
    buf_append(out, SPAN("\"servers\":["));
    for (struct list *it = seats->next; it != seats; it = it->next) {
        const struct relay_seat *seat = LIST_ITEM(it, struct relay_seat, entry);
        if (shown == most) {
            more++;
            continue;
        }
        buf_append(out, shown++ > 0 ? SPAN(",{\"name\":") : SPAN("{\"name\":"));
        print_name(span_str(seat->look), out);
        buf_printf(out, ",\"players\":%" PRIu64 "}", seat->players);
    }
    buf_printf(out, "],\"more\":%zu", more);
}
