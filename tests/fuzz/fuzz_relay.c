/* SPDX-License-Identifier: MIT */
/* Lines of the input are packets of a game server, and of a host that this one joined: whatever they say, what
 * is made of them for the others is one valid JSON object with what must be in it. */
#include "node/proto/json/walk.h"
#include "node/service/relay/packet.h"
#include "store/base/mem.h"
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

/* What others are told of a server; it is put into the directory, and among those that are here. */
struct network {
    struct map directory;
    struct list seats;
    unsigned count;
};

static void add_seat(struct network *network, const struct relay_server *server)
{
    struct relay_seat *seat = mem_zalloc(sizeof(*seat));
    seat->look = mem_dup(server->look);
    seat->players = server->players;
    list_push_back(&network->seats, &seat->entry);
    network->count++;
}

static void add_server(void *arg, const struct relay_server *server)
{
    struct json_field fields[] = {
        {.name = "name"}, {.name = "color"}, {.name = "prefix"}, {.name = "playerCount"}};
    struct network *network = arg;
    struct buf text = {0};
    relay_print_connection(server, &text);
    check_object(&text, fields, 4);
    must(fields[1].raw.len == 8, "a colour has six digits");
    buf_free(&text);
    add_seat(network, server);
    if (map_find(&network->directory, span_of(&server->id, sizeof(server->id))) == NULL) {
        struct relay_server *ours = mem_zalloc(sizeof(*ours));
        *ours = (struct relay_server){.id = server->id, .players = server->players};
        ours->value = mem_dup(server->look);
        ours->look = span_str(ours->value);
        ours->node = SPAN("a");
        relay_print_known(ours->id, ours->look, &ours->known);
        map_insert(&network->directory, &ours->entry, span_of(&ours->id, sizeof(ours->id)));
    }
}

static void network_deinit(struct network *network)
{
    MAP_EACH(it, &network->directory) {
        struct relay_server *server = MAP_ENTRY(it, struct relay_server, entry);
        map_remove(&network->directory, &server->entry);
        buf_free(&server->known);
        free(server->value);
        free(server);
    }
    LIST_EACH(it, &network->seats) {
        struct relay_seat *seat = LIST_ITEM(it, struct relay_seat, entry);
        list_del(&seat->entry);
        free(seat->look);
        free(seat);
    }
    map_deinit(&network->directory);
}

static size_t count_elements(struct span array)
{
    struct span rest = json_inside(array), raw;
    size_t count = 0;
    while (json_next_element(&rest, &raw)) {
        count++;
    }
    return count;
}

/* The directory as people see it, and at most two of those that are here. */
static void show(const struct network *network)
{
    struct json_field all = {.name = "all"};
    struct json_field here[] = {{.name = "servers"}, {.name = "more"}};
    struct buf text = {0};
    buf_append(&text, SPAN("{\"all\":"));
    relay_print_servers(&network->directory, &text);
    buf_append(&text, SPAN("}"));
    check_object(&text, &all, 1);
    must(count_elements(all.raw) == network->directory.count, "all servers");
    text.len = 0;
    buf_append(&text, SPAN("{"));
    relay_print_here(&network->seats, 2, &text);
    buf_append(&text, SPAN("}"));
    check_object(&text, here, 2);
    must(count_elements(here[0].raw) == (network->count < 2 ? network->count : 2), "two of them");
    buf_free(&text);
}

/* What a host says, and what our own servers are told then: all of them, and that it went. */
static void be_told(struct span packet)
{
    struct relay_told told = {0};
    struct network network = {.count = 0};
    struct json_field known[] = {{.name = "identifier"}, {.name = "connections"}};
    struct buf text = {0};
    map_init(&network.directory);
    list_init(&network.seats);
    enum relay_news news = relay_told_read(packet, &told);
    relay_told_each(&told, add_server, &network);
    show(&network);
    if (news == RELAY_NEWS_WELCOME) {
        relay_print_acknowledge(&network.directory, told.id, told.host_look, &text);
        check_object(&text, known, 2);
        must(known[1].kind == JSON_KIND_ARRAY, "a directory");
        bool itself = map_find(&network.directory, span_of(&told.id, sizeof(told.id))) != NULL;
        must(count_elements(known[1].raw) == 1 + network.directory.count - (itself ? 1 : 0),
             "the host and all others");
        text.len = 0;
        relay_print_handshake(told.host_look, told.id, packet, told.id % 2 == 0, &text);
        check_object(&text, known, 2);
    } else if (news == RELAY_NEWS_WENT) {
        relay_print_disconnect(told.id, &text);
        check_object(&text, known, 2);
    }
    buf_free(&text);
    network_deinit(&network);
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
