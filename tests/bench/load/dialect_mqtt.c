/* SPDX-License-Identifier: MIT */
/* MQTT 3.1.1 over TCP, QoS 0: as much of it as Mosquitto and this bench say to each other. The
 * sender does not subscribe. */
#include "tests/bench/load/dialect.h"

enum { CONNACK = 2, PUBLISH = 3, SUBACK = 9, LONGEST = 1 << 20 };

static struct buf packet;

/* A packet's kind and the length of what follows. */
static void begin(uint8_t head, size_t len)
{
    packet.len = 0;
    buf_append(&packet, span_of(&head, 1));
    do {
        uint8_t digit = (uint8_t)(len % 128) | (len >= 128 ? 0x80 : 0);
        buf_append(&packet, span_of(&digit, 1));
        len /= 128;
    } while (len > 0);
}

static void put_text(struct span text)
{
    uint8_t len[2] = {(uint8_t)(text.len >> 8), (uint8_t)text.len};
    buf_append(&packet, span_of(len, sizeof(len)));
    buf_append(&packet, text);
}

/* Version 4, a clean session, nothing is asked to be kept alive, no name of its own. */
static bool mqtt_open(struct client *client, const struct place *place)
{
    static const char connect[] = {0x10, 12, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 0};
    (void)place;
    client_send_bytes(client, span_of(connect, sizeof(connect)));
    return false;
}

static void subscribe(struct client *client, struct span topic)
{
    static const char id[2] = {0, 1}, quality = 0;
    begin(0x82, 2 + 2 + topic.len + 1);
    buf_append(&packet, span_of(id, sizeof(id)));
    put_text(topic);
    buf_append(&packet, span_of(&quality, 1));
    client_send_bytes(client, buf_span(&packet));
}

static void mqtt_publish(struct client *client, const struct place *place, struct span data)
{
    struct span topic = span_str(place->group);
    begin(0x30, 2 + topic.len + data.len);
    put_text(topic);
    buf_append(&packet, data);
    client_send_bytes(client, buf_span(&packet));
}

/* Bytes of the head, with the length in *len; 0: more is needed. */
static size_t read_head(struct span in, size_t *len)
{
    *len = 0;
    for (size_t i = 1; i < in.len && i < 5; i++) {
        *len |= (size_t)(in.ptr[i] & 0x7f) << 7 * (i - 1);
        if ((in.ptr[i] & 0x80) == 0) {
            return i + 1;
        }
    }
    return 0;
}

static int64_t mqtt_take(struct client *client, const struct place *place, struct span in,
                         struct news *news)
{
    size_t len, head = read_head(in, &len);
    if (head == 0 || len > LONGEST || in.len - head < len) {
        return len > LONGEST ? -1 : 0;
    }
    struct span body = span_of(in.ptr + head, len);
    switch ((uint8_t)in.ptr[0] >> 4) {
    case CONNACK:
        if (len != 2 || body.ptr[1] != 0) {
            return -1;
        }
        if (place->counted) {
            subscribe(client, span_str(place->group));
        } else {
            news->kind = NEWS_IN;
        }
        break;
    case SUBACK:
        news->kind = NEWS_IN;
        break;
    case PUBLISH:
        if (len < 2 + strlen(place->group) + place->data_size) {
            return -1;
        }
        news->kind = NEWS_DATA;
        news->data = span_skip(body, 2 + strlen(place->group));
        break;
    default:
        return -1;
    }
    return (int64_t)(head + len);
}

const struct dialect dialect_mqtt = {
    .name = "mqtt",
    .bytes = true,
    .path = "/",
    .open = mqtt_open,
    .publish = mqtt_publish,
    .take = mqtt_take,
};
