/* SPDX-License-Identifier: MIT */
/* The words of permessage-deflate's negotiation (RFC 7692, 7.1), in the list form of RFC 6455, 9.1:
 *
 *     offers = offer *( "," offer )     offer = name *( ";" param )     param = token [ "=" value ]
 */
#include "node/proto/ws/deflate.h"

enum param { SERVER_NO_TAKEOVER, CLIENT_NO_TAKEOVER, SERVER_BITS, CLIENT_BITS, PARAM_COUNT };

static const char *const param_names[PARAM_COUNT] = {
    [SERVER_NO_TAKEOVER] = "server_no_context_takeover",
    [CLIENT_NO_TAKEOVER] = "client_no_context_takeover",
    [SERVER_BITS] = "server_max_window_bits",
    [CLIENT_BITS] = "client_max_window_bits",
};

/* Like span_cut, but a separator inside "..." does not count. */
static struct span cut(struct span *rest, char separator)
{
    bool quoted = false;
    struct span head = *rest;
    for (size_t i = 0; i < head.len; i++) {
        if (head.ptr[i] == '"') {
            quoted = !quoted;
        } else if (head.ptr[i] == '\\' && quoted) {
            i++;
        } else if (head.ptr[i] == separator && !quoted) {
            *rest = span_skip(head, i + 1);
            head.len = i;
            return head;
        }
    }
    *rest = (struct span){NULL, 0};
    return head;
}

/* A window size from 8 to 15 without leading zero, as a token or quoted; -1 otherwise. */
static int window_bits(struct span value)
{
    if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"') {
        value = span_of(value.ptr + 1, value.len - 2);
    }
    if (value.len == 1 && (value.ptr[0] == '8' || value.ptr[0] == '9')) {
        return value.ptr[0] - '0';
    }
    if (value.len == 2 && value.ptr[0] == '1' && value.ptr[1] >= '0' && value.ptr[1] <= '5') {
        return 10 + value.ptr[1] - '0';
    }
    return -1;
}

/* Can this value of the parameter be held to? `given`: there was an "=". */
static bool holds(enum param param, bool given, struct span value)
{
    switch (param) {
    case SERVER_BITS:
        /* The shared deflate stream has a window of 15 bits: smaller promises cannot be made. */
        return given && window_bits(value) == 15;
    case CLIENT_BITS:
        return !given || window_bits(value) > 0;
    default:
        return !given;
    }
}

static int find_param(struct span name)
{
    for (int i = 0; i < PARAM_COUNT; i++) {
        if (span_eq_nocase(name, span_str(param_names[i]))) {
            return i;
        }
    }
    return -1;
}

static bool read_param(struct span text, bool seen[static PARAM_COUNT])
{
    struct span value = text;
    struct span name = span_trim(cut(&value, '='));
    bool given = value.ptr != NULL;
    int param = find_param(name);
    if (param < 0 || seen[param] || !holds((enum param)param, given, span_trim(value))) {
        return false;
    }
    seen[param] = true;
    return true;
}

/* Can the offer be held to? */
static bool read_offer(struct span offer, bool seen[static PARAM_COUNT])
{
    struct span name = span_trim(cut(&offer, ';'));
    if (!span_eq_nocase(name, SPAN("permessage-deflate"))) {
        return false;
    }
    while (offer.ptr != NULL) {
        if (!read_param(span_trim(cut(&offer, ';')), seen)) {
            return false;
        }
    }
    return true;
}

bool deflate_negotiate(struct span offers, struct buf *answer)
{
    while (offers.len > 0) {
        bool seen[PARAM_COUNT] = {false};
        if (read_offer(cut(&offers, ','), seen)) {
            buf_append(answer, SPAN("permessage-deflate; server_no_context_takeover; "
                                    "client_no_context_takeover"));
            if (seen[SERVER_BITS]) { /* accepting it means naming it, 7.1.2.1 */
                buf_append(answer, SPAN("; server_max_window_bits=15"));
            }
            return true;
        }
    }
    return false;
}
