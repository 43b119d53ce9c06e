/* SPDX-License-Identifier: MIT */
#include "node/service/chat/words.h"

#include "store/base/clock.h"
#include "store/base/decimal.h"

#include <inttypes.h>

enum {
    ACTION_LIMIT = 64,    /* bytes; all that are known are shorter */
    CHANNEL_LIMIT = 256,  /* bytes */
    HISTORY_DEFAULT = 10, /* messages, where the client names no limit */
};

static enum chat_action action_of(struct span word)
{
    if (span_eq(word, SPAN("login"))) {
        return CHAT_LOGIN;
    }
    if (span_eq(word, SPAN("message"))) {
        return CHAT_MESSAGE;
    }
    return span_eq(word, SPAN("history")) ? CHAT_HISTORY : CHAT_UNKNOWN;
}

static const struct json_field asked[CHAT_FIELDS] = {
    [CHAT_ACTION] = {.name = "action"},     [CHAT_TOKEN] = {.name = "token"},
    [CHAT_USERNAME] = {.name = "username"}, [CHAT_PASSWORD] = {.name = "password"},
    [CHAT_TEXT] = {.name = "message"},      [CHAT_CHANNEL] = {.name = "channel"},
    [CHAT_LIMIT] = {.name = "limit"},       [CHAT_OFFSET] = {.name = "offset"},
};

void chat_read_part(struct json_coming **coming, struct span so_far)
{
    json_coming_feed(coming, asked, CHAT_FIELDS, so_far);
}

const char *chat_read(struct chat_request *request, struct json_coming **coming, struct span text)
{
    const struct json_field *action = &request->fields[CHAT_ACTION];
    struct buf word = {0};
    request->action = CHAT_NOTHING;
    if (json_coming_end(coming, asked, CHAT_FIELDS, text, request->fields) != 0) {
        return "the message is not a JSON object";
    }
    if (action->kind == JSON_KIND_ABSENT) {
        return "action is missing";
    }
    if (action->kind == JSON_KIND_STRING) {
        json_unquote_cut(action->raw, ACTION_LIMIT, &word);
    }
    if (word.len == 0) {
        return "action has to be a string";
    }
    request->action = action_of(buf_span(&word));
    buf_free(&word);
    return NULL;
}

bool chat_field_text(const struct chat_request *request, enum chat_field field, struct buf *out)
{
    out->len = 0;
    if (request->fields[field].kind == JSON_KIND_STRING) {
        json_unquote(request->fields[field].raw, out);
    }
    return out->len > 0;
}

/* Appends the channel as a string, or nothing when there is none. */
static const char *put_channel(const struct json_field *field, struct buf *out)
{
    struct buf text = {0};
    const char *wrong = NULL;
    switch (field->kind) {
    case JSON_KIND_ABSENT:
    case JSON_KIND_NULL:
        return NULL;
    case JSON_KIND_NUMBER:
        buf_append(&text, field->raw);
        break;
    case JSON_KIND_STRING:
        json_unquote_cut(field->raw, CHANNEL_LIMIT + 1, &text);
        break;
    default:
        return "channel has to be a string or a number";
    }
    if (text.len > CHANNEL_LIMIT) {
        wrong = "channel is too long, 256 bytes are allowed";
    } else {
        buf_append(out, SPAN(", \"channel\": "));
        json_quote(buf_span(&text), out);
    }
    buf_free(&text);
    return wrong;
}

const char *chat_broadcast(const struct chat_request *request, const struct chat_user *user,
                           uint32_t text_limit, struct buf *out)
{
    const struct json_field *message = &request->fields[CHAT_TEXT];
    struct buf text = {0};
    if (message->kind != JSON_KIND_STRING) {
        return message->kind == JSON_KIND_ABSENT ? "message is missing"
                                                 : "message has to be a string";
    }
    buf_append(out, SPAN("{\"user_id\": "));
    json_quote(span_str(user->id), out);
    buf_printf(out, ", \"timestamp\": %" PRIu64 ", \"message\": ", clock_unix_ms() / 1000);
    json_unquote_cut(message->raw, text_limit + 1, &text); /* as JSON writes it it is no shorter */
    size_t before = out->len;
    json_quote(buf_span(&text), out);
    size_t encoded = out->len - before - 2; /* as it is stored and sent, less its quotes */
    buf_free(&text);
    const char *wrong = put_channel(&request->fields[CHAT_CHANNEL], out);
    buf_append(out, SPAN(", \"nickname\": "));
    json_quote(span_str(user->nickname), out);
    buf_append(out, SPAN("}"));
    return encoded > text_limit ? "message is too long" : wrong;
}

/* A whole number from 0 on, huge ones cut to `most`; `preset` when it is absent. false: it is none
 * of that. */
static bool get_count(const struct json_field *field, uint32_t preset, uint32_t most,
                      uint32_t *value)
{
    uint64_t number = preset < most ? preset : most;
    bool good = field->kind == JSON_KIND_ABSENT ||
                (field->kind == JSON_KIND_NUMBER && decimal_capped(field->raw, most, &number));
    *value = (uint32_t)number;
    return good;
}

const char *chat_page(const struct chat_request *request, uint32_t most, uint32_t *offset,
                      uint32_t *limit)
{
    if (!get_count(&request->fields[CHAT_LIMIT], HISTORY_DEFAULT, most, limit)) {
        return "limit has to be a whole number, 0 or more";
    }
    if (!get_count(&request->fields[CHAT_OFFSET], 0, most, offset)) {
        return "offset has to be a whole number, 0 or more";
    }
    uint32_t left = most - *offset;
    *limit = *limit > 0 && *limit < left ? *limit : left; /* 0: all, as the old server had it */
    return NULL;
}

void chat_error(const char *text, struct buf *out)
{
    buf_append(out, SPAN("{\"error\": "));
    json_quote(span_str(text), out);
    buf_append(out, SPAN("}"));
}
