/* SPDX-License-Identifier: MIT */
#include "node/service/fleet/problems.h"

#include "node/proto/json/scan.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A sink that is so far behind is one to look at; a node so young is still finding its store. */
enum { LATE_MS = 60 * 1000, YOUNG_MS = 5000 };

struct printing {
    struct buf *out;
    size_t start;
};

/* `node` is JSON, a string. */
static void print(struct printing *printing, struct span node, const char *text, uint64_t since_ms)
{
    struct buf *out = printing->out;
    buf_append(out, out->len > printing->start ? SPAN(",{\"node\":") : SPAN("{\"node\":"));
    buf_append(out, node);
    buf_append(out, SPAN(",\"text\":"));
    json_quote(span_str(text), out);
    if (since_ms != 0) {
        buf_printf(out, ",\"since\":%" PRIu64, since_ms);
    }
    buf_append(out, SPAN("}"));
}

static uint64_t number(const struct json_field *field)
{
    return field->kind == JSON_KIND_NUMBER ? strtoull(field->raw.ptr, NULL, 10) : 0;
}

static void look_at_state(struct printing *printing, struct span node, struct span state)
{
    struct buf text = {0};
    if (span_eq(state, SPAN("\"well\"")) || span_eq(state, SPAN("\"draining\"")) ||
        span_eq(state, SPAN("\"starting\""))) {
        return;
    }
    json_unquote(state, &text);
    text.len =
        strcspn(buf_text(&text), "\n"); /* its first line says what; the card has all of it */
    print(printing, node, buf_text(&text), 0);
    buf_free(&text);
}

static void look_at_sink(struct printing *printing, struct span node, struct span figures)
{
    struct json_field lag = {.name = "muster_sink_lag_milliseconds"};
    if (json_fields(figures, &lag, 1) != 0 || lag.kind != JSON_KIND_NUMBER) {
        return;
    }
    uint64_t ms = strtoull(lag.raw.ptr, NULL, 10);
    if (ms > LATE_MS) {
        char text[96];
        snprintf(text, sizeof(text),
                 "is behind: the oldest log entry not stored is %" PRIu64 " s old", ms / 1000);
        print(printing, node, text, 0);
    }
}

static void look_at_node(void *arg, const struct roster_member *member)
{
    struct json_field fields[] = {{.name = "name"},    {.name = "state"},   {.name = "kind"},
                                  {.name = "figures"}, {.name = "started"}, {.name = "time"}};
    if (json_fields(member->value, fields, 6) != 0 || fields[0].kind != JSON_KIND_STRING ||
        fields[1].kind != JSON_KIND_STRING) {
        return; /* a node's lists */
    }
    if (number(&fields[5]) > number(&fields[4]) * 1000 + YOUNG_MS) {
        look_at_state(arg, fields[0].raw, fields[1].raw);
    }
    if (span_eq(fields[2].raw, SPAN("\"sink\"")) && fields[3].kind == JSON_KIND_OBJECT) {
        look_at_sink(arg, fields[0].raw, fields[3].raw);
    }
}

static void print_lost(void *arg, struct span node, uint64_t at_ms)
{
    print(arg, node, "lost", at_ms);
}

void fleet_problems_print(const struct roster_watch *nodes, const struct fleet_events *events,
                          struct buf *out)
{
    buf_append(out, SPAN("["));
    struct printing printing = {out, out->len};
    roster_each(nodes, look_at_node, &printing);
    fleet_events_each_lost(events, print_lost, &printing);
    buf_append(out, SPAN("]"));
}
