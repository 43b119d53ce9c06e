/* SPDX-License-Identifier: MIT */
/* Lines of the input are packets of a game server, and of a host that this one joined: whatever they say, what
 * is made of them for the others is one valid JSON object with what must be in it. */
#include "node/proto/json/scan.h"
#include "node/service/relay/packet.h"
#include "store/base/utf8.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

static void check_object(const struct buf *text, struct json_field *fields, size_t count)
{
    must(utf8_valid(buf_span(text)), "UTF-8");
    must(json_fields(buf_span(text), fields, count) == 0, "an object");
}

static void shake_hands(struct span packet)
{
    struct relay_handshake handshake = {0};
    struct json_field fields[] = {{.name = "name"},
                                  {.name = "color"},
                                  {.name = "prefix"},
                                  {.name = "playerCount"},
                                  {.name = "identifier"}};
    struct buf text = {0};
    if (relay_handshake_read(packet, &handshake) == 0) {
        struct relay_server server = {
            .id = 5, .players = handshake.players, .look = buf_span(&handshake.look)};
        relay_print_connection(&server, &text);
        check_object(&text, fields, 5);
        for (size_t i = 0; i < 3; i++) {
            must(fields[i].kind == JSON_KIND_STRING, "a look is text");
        }
        must(fields[1].raw.len == 8, "a colour has six digits");
        must(fields[3].kind == JSON_KIND_NUMBER && span_eq(fields[4].raw, SPAN("5")), "numbers");
    }
    buf_free(&text);
    relay_handshake_deinit(&handshake);
}

static void say(struct span packet)
{
    struct json_field before[] = {{.name = "type"}, {.name = "content"}};
    struct json_field after[] = {{.name = "type"}, {.name = "content"}, {.name = "identifier"}};
    struct buf text = {0};
    must(json_fields(packet, before, 2) == 0, "what has a type is an object");
    relay_print_saying(packet, 7, &text);
    check_object(&text, after, 3);
    must(span_eq(after[2].raw, SPAN("7")), "the sender's own identifier");
    must(span_eq(before[0].raw, after[0].raw) && span_eq(before[1].raw, after[1].raw), "the rest");
    buf_free(&text);
}

static void check_server(void *arg, const struct relay_server *server)
{
    struct json_field fields[] = {
        {.name = "name"}, {.name = "color"}, {.name = "prefix"}, {.name = "playerCount"}};
    struct map *directory = arg;
    struct buf text = {0};
    relay_print_connection(server, &text);
    check_object(&text, fields, 4);
    must(fields[1].raw.len == 8, "a colour has six digits");
    must(map_find(directory, span_of(&server->id, sizeof(server->id))) == NULL, "none of ours");
    buf_free(&text);
}

/* What a host says, and what our own servers are told then: all of them, and that it went. */
static void be_told(struct span packet)
{
    struct relay_told told = {0};
    struct map directory;
    struct json_field known[] = {{.name = "identifier"}, {.name = "connections"}};
    struct buf text = {0};
    map_init(&directory);
    enum relay_news news = relay_told_read(packet, &told);
    relay_told_each(&told, check_server, &directory);
    if (news == RELAY_NEWS_WELCOME) {
        relay_print_acknowledge(&directory, told.id, told.host_look, &text);
        check_object(&text, known, 2);
        must(known[1].kind == JSON_KIND_ARRAY, "a directory");
        text.len = 0;
        relay_print_handshake(told.host_look, told.id, packet, told.id % 2 == 0, &text);
        check_object(&text, known, 2);
    } else if (news == RELAY_NEWS_WENT) {
        relay_print_disconnect(told.id, &text);
        check_object(&text, known, 2);
    }
    buf_free(&text);
    map_deinit(&directory);
    relay_told_deinit(&told);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span rest = span_of(data, size);
    struct buf type = {0};
    while (rest.len > 0) {
        struct span packet = span_cut(&rest, '\n');
        enum relay_kind kind = relay_packet_kind(packet, &type);
        if (!utf8_valid(packet)) {
            continue; /* the stream lets none through */
        }
        shake_hands(packet);
        be_told(packet);
        if (kind == RELAY_SAYING) {
            say(packet);
        }
    }
    buf_free(&type);
    return 0;
}
