/* SPDX-License-Identifier: MIT */
#include "node/service/fleet/problems.h"

#include "node/proto/json/walk.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A sink that is so far behind is one to look at; a node so young is still finding its store. */
enum { LATE_MS = 60 * 1000, YOUNG_MS = 5000, AWAY_MOST = 16 };

/* A server of the store that some nodes cannot reach. */
struct server_away {
    struct buf name;   /* JSON, a string */
    uint64_t since_ms; /* the earliest */
    unsigned nodes;
};

struct printing {
    struct buf *out;
    size_t start;
    struct server_away away[AWAY_MOST];
    size_t away_count;
    unsigned nodes;
};

/* `node` is JSON, a string; an empty one where it is about no node alone. */
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

static void add_away(struct printing *printing, struct span name, uint64_t since_ms)
{
    size_t i = 0;
    while (i < printing->away_count && !span_eq(buf_span(&printing->away[i].name), name)) {
        i++;
    }
    if (i == AWAY_MOST) {
        return;
    }
    struct server_away *away = &printing->away[i];
    if (i == printing->away_count) {
        printing->away_count++;
        buf_append(&away->name, name);
    }
    away->nodes++;
    away->since_ms = away->since_ms == 0 || since_ms < away->since_ms ? since_ms : away->since_ms;
}

static void look_at_away(struct printing *printing, struct span names, uint64_t since_ms)
{
    struct span rest = json_inside(names), raw;
    while (json_next_element(&rest, &raw)) {
        if (json_kind_of(raw) == JSON_KIND_STRING) {
            add_away(printing, raw, since_ms);
        }
    }
}

/* One problem for each server, however many nodes cannot reach it. */
static void print_away(struct printing *printing)
{
    for (size_t i = 0; i < printing->away_count; i++) {
        struct server_away *away = &printing->away[i];
        struct buf text = {0};
        buf_append(&text, SPAN("Redis "));
        json_unquote(buf_span(&away->name), &text);
        if (away->nodes < printing->nodes) {
            buf_printf(&text, " away for %u of %u nodes and sinks", away->nodes, printing->nodes);
        } else {
            buf_append(&text, SPAN(" away"));
        }
        print(printing, SPAN("\"\""), buf_text(&text), away->since_ms);
        buf_free(&text);
        buf_free(&away->name);
    }
}

static void look_at_node(void *arg, const struct roster_member *member)
{
    struct json_field fields[] = {{.name = "name"},    {.name = "state"},     {.name = "kind"},
                                  {.name = "figures"}, {.name = "started"},   {.name = "time"},
                                  {.name = "away"},    {.name = "away_since"}};
    struct printing *printing = arg;
    if (json_fields(member->value, fields, 8) != 0 || fields[0].kind != JSON_KIND_STRING ||
        fields[1].kind != JSON_KIND_STRING) {
        return; /* a node's lists */
    }
    printing->nodes++;
    if (fields[6].kind == JSON_KIND_ARRAY) {
        look_at_away(printing, fields[6].raw, number(&fields[7]));
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
    struct printing printing = {.out = out, .start = out->len};
    roster_each(nodes, look_at_node, &printing);
    print_away(&printing);
    fleet_events_each_lost(events, print_lost, &printing);
    buf_append(out, SPAN("]"));
}
