/* SPDX-License-Identifier: MIT */
#include "node/service/fleet/self.h"

#include "node/core/metrics_process.h"
#include "node/proto/json/scan.h"
#include "node/service/fleet/view.h"
#include "store/base/clock.h"
#include "store/roster/roster.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    US_PER_BYTE = 1000,  /* pause after lists of so many bytes were published */
    US_PER_US = 100,     /* and after they took so long to gather */
    ZONE_TOLD_MOST = 40, /* bytes of a zone that are told */
};

void fleet_self_init(struct fleet_self *self, const struct fleet_options *options)
{
    *self = (struct fleet_self){.options = options, .started_s = clock_unix_ms() / 1000};
}

void fleet_self_deinit(struct fleet_self *self)
{
    buf_free(&self->said);
    buf_free(&self->published);
    buf_free(&self->told);
}

void fleet_self_show(struct fleet_self *self, const struct fleet_list *list)
{
    if (self->list_count < FLEET_LISTS) {
        self->lists[self->list_count++] = *list;
    }
}

/* What this node cannot reach of the store, and since when. */
static void print_away(struct fleet_self *self, struct buf *out)
{
    if (!self->store_seen || store_ready(self->options->store)) {
        self->away_ms = 0;
        return;
    }
    self->away_ms = self->away_ms != 0 ? self->away_ms : clock_unix_ms();
    buf_printf(out, ",\"away_since\":%" PRIu64 ",\"away\":", self->away_ms);
    fleet_servers_print_away(self->options->store, out);
}

static const char *state_of(struct fleet_self *self)
{
    const struct fleet_options *options = self->options;
    const char *trouble = options->trouble(options->trouble_arg);
    self->store_seen |= store_ready(options->store);
    if (!self->store_seen) {
        return "starting"; /* it has not lost what it has not had yet */
    }
    return trouble != NULL ? trouble : "well";
}

static void print_node(struct fleet_self *self, struct buf *out)
{
    const struct fleet_options *options = self->options;
    const char *state = state_of(self);
    metrics_process_refresh(options->metrics, options->store);
    buf_append(out, SPAN("{\"name\":"));
    json_quote(span_str(options->node), out);
    buf_printf(out, ",\"kind\":\"%s\"", options->kind);
    buf_printf(out, ",\"version\":\"%s\",\"started\":%" PRIu64 ",\"time\":%" PRIu64 ",\"state\":",
               MUSTER_VERSION, self->started_s, clock_unix_ms());
    json_quote(span_str(state), out);
    buf_append(out, SPAN(",\"http\":"));
    json_quote(span_str(options->http), out);
    if (options->zone[0] != '\0') {
        buf_append(out, SPAN(",\"zone\":"));
        json_quote_cut(span_str(options->zone), ZONE_TOLD_MOST, out);
    }
    print_away(self, out);
    if (options->more != NULL) {
        options->more(options->more_arg, out);
    }
    buf_append(out, SPAN(",\"figures\":{"));
    metrics_print_json(options->metrics, out);
    buf_append(out, SPAN("}}"));
}

/* As one of its members. */
static void say(const struct fleet_self *self, enum fleet_part part, struct span value,
                fleet_claim_fn *claim)
{
    struct buf member = {0};
    fleet_view_name(span_str(self->options->node), part, &member);
    claim(self->options->store, FLEET_NODES, buf_span(&member), value);
    buf_free(&member);
}

/* Lists that change all the time cost the fleet a steady and small number of bytes, and this node a
 * hundredth of its time; those of a quiet fleet are as fresh as the figures. */
static void say_lists(struct fleet_self *self, fleet_claim_fn *claim)
{
    uint64_t now = clock_monotonic_us();
    if (now < self->lists_due_us) {
        return;
    }
    struct buf lists = {0};
    for (size_t i = 0; i < self->list_count; i++) {
        struct buf list = {0};
        self->lists[i].print(self->lists[i].arg, &list);
        if (list.len <= FLEET_LIST_BYTES && lists.len + list.len <= FLEET_LISTS_BYTES) {
            buf_printf(&lists, "%s\"%s\":", lists.len > 0 ? "," : "{", self->lists[i].name);
            buf_append(&lists, buf_span(&list));
        }
        buf_free(&list);
    }
    buf_append(&lists, lists.len > 0 ? SPAN(",\"hour\":") : SPAN("{\"hour\":"));
    fleet_hour_print(&self->hour, &lists);
    buf_append(&lists, SPAN("}"));
    self->lists_due_us = now + (clock_monotonic_us() - now) * US_PER_US;
    if (span_eq(buf_span(&lists), buf_span(&self->published))) {
        buf_free(&lists);
        return;
    }
    buf_free(&self->published);
    self->published = lists;
    say(self, FLEET_PART_LISTS, buf_span(&self->published), claim);
    uint64_t due = now + (uint64_t)lists.len * US_PER_BYTE;
    self->lists_due_us = due > self->lists_due_us ? due : self->lists_due_us;
}

/* The lists first: who waits for the figures has both then. */
void fleet_self_say(struct fleet_self *self, fleet_claim_fn *claim)
{
    struct buf value = {0};
    say_lists(self, claim);
    print_node(self, &value);
    say(self, FLEET_PART_NODE, buf_span(&value), claim);
    buf_free(&value);
    self->said_ms = clock_monotonic_ms();
}

/* Another state than was told last is told at once in any case. */
bool fleet_self_has_news(struct fleet_self *self)
{
    struct buf state = {0};
    buf_append(&state, span_str(state_of(self)));
    print_away(self, &state);
    bool news = !span_eq(buf_span(&state), buf_span(&self->said));
    buf_free(&self->said);
    self->said = state;
    return news;
}

void fleet_self_say_servers(struct fleet_self *self, struct fleet_servers *servers, bool speaks,
                            bool due)
{
    struct buf told = {0};
    fleet_servers_look(servers, speaks);
    if (speaks && !due && self->told.len > 0) {
        return;
    }
    if (fleet_servers_print(servers, self->options->node, &told)) {
        if (!span_eq(buf_span(&told), buf_span(&self->told))) {
            say(self, FLEET_PART_SERVERS, buf_span(&told), roster_claim_patiently);
        }
    } else if (self->told.len > 0) {
        struct buf member = {0};
        fleet_view_name(span_str(self->options->node), FLEET_PART_SERVERS, &member);
        roster_release(self->options->store, FLEET_NODES, buf_span(&member));
        buf_free(&member);
    }
    buf_free(&self->told);
    self->told = told;
}
