/* SPDX-License-Identifier: MIT */
#include "node/service/tracker/message.h"

#include "node/proto/json/scan.h"
#include "store/base/decimal.h"
#include "store/base/utf8.h"

/* ------------------------------------------------------------------------------------ in */

enum tracker_field { ACTION, SHARE_ID, OVERRIDE, IP, PORT, MULTIADDR, TRACKER_MESSAGE_FIELDS };

/* What the string means; borrowed from the datagram, or from `scratch` where it has escapes. */
static struct span text_of(const struct json_field *field, struct buf *scratch)
{
    struct span inside = span_of(field->raw.ptr + 1, field->raw.len - 2);
    if (memchr(inside.ptr, '\\', inside.len) == NULL) {
        return inside;
    }
    scratch->len = 0;
    json_unquote(field->raw, scratch);
    return buf_span(scratch);
}

static bool is_given(const struct json_field *field)
{
    return field->kind != JSON_KIND_ABSENT && field->kind != JSON_KIND_NULL;
}

static bool is_share_id(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))) {
            return false;
        }
    }
    return text.len == TRACKER_SHARE_ID;
}

static void read_share_id(const struct json_field *field, struct tracker_request *request)
{
    struct buf scratch = {0};
    struct span text = {NULL, 0};
    if (field->kind == JSON_KIND_STRING) {
        text = text_of(field, &scratch);
    }
    if (is_share_id(text)) {
        memcpy(request->share_id, text.ptr, TRACKER_SHARE_ID);
    } else {
        request->wrong = is_given(field) ? "unknown shareId" : "no shareId";
    }
    buf_free(&scratch);
}

static void set_told(struct span text, struct tracker_request *request)
{
    memcpy(request->told, text.ptr, text.len);
    request->told_len = (uint8_t)text.len;
}

/* Given as is, as long as an answer that holds it stays small. */
static const char *read_multiaddr(const struct json_field *field, struct tracker_request *request)
{
    struct buf scratch = {0}, quoted = {0};
    const char *wrong = "bad multiaddr";
    if (field->kind == JSON_KIND_STRING) {
        struct span text = text_of(field, &scratch);
        json_quote(text, &quoted);
        if (text.len > 0 && quoted.len <= TRACKER_TOLD_MOST + 2) {
            set_told(text, request);
            wrong = NULL;
        }
    }
    buf_free(&scratch);
    buf_free(&quoted);
    return wrong;
}

static int read_ip(const struct json_field *field, struct address *address)
{
    struct buf scratch = {0};
    struct address read;
    int rc = -1;
    if (field->kind == JSON_KIND_STRING) {
        rc = address_parse_ip(text_of(field, &scratch), &read);
    }
    if (rc == 0) {
        memcpy(address->ip, read.ip, sizeof(address->ip));
    }
    buf_free(&scratch);
    return rc;
}

/* A number, or a string of digits. */
static int read_port(const struct json_field *field, struct address *address)
{
    struct span text = field->raw;
    uint64_t port;
    if (field->kind == JSON_KIND_STRING) {
        text = span_of(text.ptr + 1, text.len - 2);
    }
    if (!decimal_read(text, UINT16_MAX, &port) || port == 0) {
        return -1;
    }
    address->port = (uint16_t)port;
    return 0;
}

/* What is not given stays as the datagram came. */
static const char *read_override(const struct json_field *fields, const struct address *peer,
                                 struct tracker_request *request)
{
    struct address address = *peer;
    char text[ADDRESS_TEXT];
    if (is_given(&fields[MULTIADDR])) {
        return read_multiaddr(&fields[MULTIADDR], request);
    }
    if (!is_given(&fields[IP]) && !is_given(&fields[PORT])) {
        return "nothing to override with";
    }
    if (is_given(&fields[IP]) && read_ip(&fields[IP], &address) != 0) {
        return "bad ip";
    }
    if (is_given(&fields[PORT]) && read_port(&fields[PORT], &address) != 0) {
        return "bad port";
    }
    set_told(span_str(address_text(&address, text)), request);
    return NULL;
}

static void read_pulse(const struct json_field *fields, const struct address *peer,
                       struct tracker_request *request)
{
    enum json_kind override = fields[OVERRIDE].kind;
    request->new_id = fields[SHARE_ID].kind == JSON_KIND_TRUE;
    if (override == JSON_KIND_TRUE) {
        request->wrong = read_override(fields, peer, request);
    } else if (override != JSON_KIND_FALSE && is_given(&fields[OVERRIDE])) {
        request->wrong = "override is no boolean";
    }
    request->override = override == JSON_KIND_TRUE && request->wrong == NULL;
}

static bool read_action(const struct json_field *field, enum tracker_action *action)
{
    static const char *const names[] = {
        [TRACKER_ANNOUNCE] = "announce",
        [TRACKER_PULSE] = "pulse",
        [TRACKER_ALIVE] = "alive",
        [TRACKER_PUSH] = "push",
    };
    struct buf scratch = {0};
    bool found = false;
    if (field->kind != JSON_KIND_STRING) {
        return false;
    }
    struct span text = text_of(field, &scratch);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names) && !found; i++) {
        found = span_eq(text, span_str(names[i]));
        *action = (enum tracker_action)i;
    }
    buf_free(&scratch);
    return found;
}

enum tracker_parsed tracker_parse(struct span datagram, const struct address *peer,
                                  struct tracker_request *request)
{
    struct json_field fields[TRACKER_MESSAGE_FIELDS] = {
        [ACTION] = {.name = "action"},     [SHARE_ID] = {.name = "shareId"},
        [OVERRIDE] = {.name = "override"}, [IP] = {.name = "ip"},
        [PORT] = {.name = "port"},         [MULTIADDR] = {.name = "multiaddr"},
    };
    if (!utf8_valid(datagram) || json_fields(datagram, fields, TRACKER_MESSAGE_FIELDS) != 0) {
        return TRACKER_NOT_JSON;
    }
    request->new_id = request->override = false;
    request->wrong = NULL;
    request->told_len = 0;
    if (!read_action(&fields[ACTION], &request->action)) {
        return TRACKER_NO_ACTION;
    }
    if (request->action == TRACKER_PULSE) {
        read_pulse(fields, peer, request);
    } else if (request->action == TRACKER_PUSH) {
        read_share_id(&fields[SHARE_ID], request);
    }
    return TRACKER_PARSED;
}

/* ------------------------------------------------------------------------------------ answers */

static bool is_word(const struct json_field *field, const char *one, const char *other)
{
    struct buf scratch = {0};
    struct span text = {NULL, 0};
    if (field->kind == JSON_KIND_STRING) {
        text = text_of(field, &scratch);
    }
    bool is = span_eq(text, span_str(one)) || span_eq(text, span_str(other));
    buf_free(&scratch);
    return is;
}

static enum tracker_says read_pushed(struct span data, struct buf *address)
{
    struct json_field peer[] = {{.name = "peeraddr"}};
    struct buf scratch = {0}, quoted = {0};
    enum tracker_says says = TRACKER_SAYS_NOBODY;
    if (json_fields(data, peer, 1) == 0 && peer[0].kind == JSON_KIND_STRING) {
        struct span text = text_of(&peer[0], &scratch);
        json_quote(text, &quoted);
        if (text.len > 0 && quoted.len <= TRACKER_TOLD_MOST + 2) {
            buf_append(address, text);
            says = TRACKER_SAYS_ADDRESS;
        }
    }
    buf_free(&scratch);
    buf_free(&quoted);
    return says;
}

enum tracker_says tracker_parse_answer(struct span datagram, struct buf *address)
{
    enum { ANSWER_ACTION, ANSWER_DATA, ANSWER_FIELDS };
    struct json_field fields[ANSWER_FIELDS] = {
        [ANSWER_ACTION] = {.name = "action"}, [ANSWER_DATA] = {.name = "data"}};
    if (!utf8_valid(datagram) || json_fields(datagram, fields, ANSWER_FIELDS) != 0) {
        return TRACKER_SAYS_ELSE;
    }
    if (is_word(&fields[ANSWER_ACTION], "pushed", "pushReceived")) {
        return fields[ANSWER_DATA].kind == JSON_KIND_OBJECT
                   ? read_pushed(fields[ANSWER_DATA].raw, address)
                   : TRACKER_SAYS_NOBODY;
    }
    if (is_word(&fields[ANSWER_ACTION], "announced", "announceReceived")) {
        return TRACKER_SAYS_ANNOUNCED;
    }
    return is_word(&fields[ANSWER_ACTION], "expired", "expired") ? TRACKER_SAYS_EXPIRED
                                                                 : TRACKER_SAYS_ELSE;
}

/* ------------------------------------------------------------------------------------ out */

static struct span name_of(enum tracker_dialect dialect, enum tracker_action action)
{
    bool sobani = dialect == TRACKER_SOBANI;
    switch (action) {
    case TRACKER_ANNOUNCE:
        return sobani ? SPAN("announced") : SPAN("announceReceived");
    case TRACKER_PULSE:
        return SPAN("pulseReceived");
    case TRACKER_ALIVE:
        return SPAN("alived");
    case TRACKER_PUSH:
        return sobani ? SPAN("pushed") : SPAN("pushReceived");
    }
    return SPAN("");
}

/* Up to the first field of the data. */
static void begin(struct span action, struct buf *out)
{
    buf_append(out, SPAN("{\"action\":\""));
    buf_append(out, action);
    buf_append(out, SPAN("\",\"data\":{"));
}

static void end(struct buf *out)
{
    buf_append(out, SPAN("}}"));
}

static void field(struct span name_and_colon, struct span value, struct buf *out)
{
    buf_append(out, name_and_colon);
    json_quote(value, out);
}

void tracker_print_announce(struct buf *out)
{
    buf_append(out, SPAN("{\"action\":\"announce\"}"));
}

void tracker_print_push(struct span share_id, struct buf *out)
{
    buf_append(out, SPAN("{\"action\":\"push\""));
    field(SPAN(",\"shareId\":"), share_id, out);
    buf_append(out, SPAN("}"));
}

void tracker_print_announced(enum tracker_dialect dialect, struct span share_id, struct buf *out)
{
    begin(name_of(dialect, TRACKER_ANNOUNCE), out);
    field(SPAN("\"shareId\":"), share_id, out);
    end(out);
}

void tracker_print_pulsed(enum tracker_status status, bool replaced, struct span share_id,
                          const char *error, struct buf *out)
{
    char digit = (char)('0' + status);
    begin(name_of(TRACKER_DOCUMENTED, TRACKER_PULSE), out);
    field(SPAN("\"status\":"), span_of(&digit, 1), out);
    field(SPAN(",\"overriden\":"), replaced ? SPAN("true") : SPAN("false"), out);
    if (share_id.len > 0) {
        field(SPAN(",\"shareId\":"), share_id, out);
    }
    if (error != NULL) {
        field(SPAN(",\"error\":"), span_str(error), out);
    }
    end(out);
}

void tracker_print_alived(struct buf *out)
{
    buf_append(out, SPAN("{\"action\":\"alived\"}"));
}

void tracker_print_expired(struct buf *out)
{
    buf_append(out, SPAN("{\"action\":\"expired\"}"));
}

static void print_peer(struct span action, struct span address, struct span share_id,
                       struct buf *out)
{
    begin(action, out);
    field(SPAN("\"peeraddr\":"), address, out);
    if (share_id.len > 0) {
        field(SPAN(",\"peerShareId\":"), share_id, out);
    }
    end(out);
}

void tracker_print_pushed(enum tracker_dialect dialect, struct span address, struct span share_id,
                          struct buf *out)
{
    struct span none = {NULL, 0};
    print_peer(name_of(dialect, TRACKER_PUSH), address, dialect == TRACKER_SOBANI ? share_id : none,
               out);
}

void tracker_print_income(struct span address, struct span share_id, struct buf *out)
{
    print_peer(SPAN("income"), address, share_id, out);
}

void tracker_print_error(enum tracker_dialect dialect, enum tracker_action action,
                         const char *error, struct buf *out)
{
    begin(name_of(dialect, action), out);
    field(SPAN("\"error\":"), span_str(error), out);
    end(out);
}
