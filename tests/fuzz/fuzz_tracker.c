/* SPDX-License-Identifier: MIT */
/* Any datagram: what is taken stays within its bounds, every answer is one JSON object, and none is
 * more than three times what was asked with (on the wire, where both have 28 bytes of headers). */
#include "node/proto/json/scan.h"
#include "node/service/tracker/message.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEADERS = 28, SHORT_ERROR = 24 };

static size_t asked;
static struct buf out;

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n%.*s\n", what, SPAN_ARG(buf_span(&out)));
        abort();
    }
}

static void check_answer(const char *what)
{
    must(json_fields(buf_span(&out), NULL, 0) == 0, what);
    must(out.len + HEADERS <= 3 * (asked + HEADERS), what);
    out.len = 0;
}

static void check_pulse(const struct tracker_request *request)
{
    struct span none = {NULL, 0};
    if (request->override) {
        must(request->wrong == NULL && request->told_len > 0 &&
                 request->told_len <= TRACKER_TOLD_MOST,
             "what is told");
    }
    tracker_print_pulsed(TRACKER_BAD_OVERRIDE, request->override,
                         request->new_id ? SPAN("12345678") : none, request->wrong, &out);
    check_answer("pulse");
    /* As others hear of it: they asked with a push, which is longer than this. */
    asked = sizeof "{\"action\":\"push\",\"shareId\":\"12345678\"}" - 1;
    if (request->override) {
        tracker_print_pushed(TRACKER_SOBANI, span_of(request->told, request->told_len),
                             SPAN("12345678"), &out);
        check_answer("push");
    }
}

/* The same bytes as what another tracker says, which its peers are told. */
static void check_forwarded(struct span datagram)
{
    static struct buf address;
    address.len = 0;
    enum tracker_says says = tracker_parse_answer(datagram, &address);
    must((says == TRACKER_SAYS_ADDRESS) == (address.len > 0), "an address, where it is one");
    if (says != TRACKER_SAYS_ADDRESS) {
        return;
    }
    asked = sizeof "{\"action\":\"push\",\"shareId\":\"12345678\"}" - 1;
    tracker_print_pushed(TRACKER_DOCUMENTED, buf_span(&address), SPAN("12345678"), &out);
    check_answer("push of another tracker");
    tracker_print_income(buf_span(&address), SPAN("12345678"), &out);
    check_answer("income of another tracker");
    asked = 0;
    tracker_print_push(buf_span(&address), &out);
    must(json_fields(buf_span(&out), NULL, 0) == 0, "a question");
    out.len = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tracker_request request;
    struct address peer = {.port = 65535};
    memset(peer.ip, 0xab, sizeof(peer.ip));
    check_forwarded(span_of(data, size));
    if (tracker_parse(span_of(data, size), &peer, &request) != TRACKER_PARSED) {
        return 0;
    }
    asked = size;
    must(request.wrong == NULL || strlen(request.wrong) <= SHORT_ERROR, "an error text");
    switch (request.action) {
    case TRACKER_ANNOUNCE:
        tracker_print_announced(TRACKER_DOCUMENTED, SPAN("12345678"), &out);
        check_answer("announce");
        break;
    case TRACKER_PULSE:
        check_pulse(&request);
        break;
    case TRACKER_ALIVE:
    case TRACKER_PUSH:
        tracker_print_error(TRACKER_DOCUMENTED, request.action,
                            request.wrong != NULL ? request.wrong : "store unavailable", &out);
        check_answer("error");
        break;
    }
    return 0;
}
