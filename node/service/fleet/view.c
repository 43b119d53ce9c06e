/* SPDX-License-Identifier: MIT */
#include "node/service/fleet/view.h"

#include "node/proto/json/walk.h"
#include "node/service/fleet/problems.h"
#include "node/service/fleet/viewers.h"
#include "store/base/clock.h"
#include "store/base/utf8.h"

#include <inttypes.h>

#define LISTS SPAN(" lists")
#define SERVERS SPAN(" servers")

/* Cuts `ending` off the member, where it has that. */
static bool cut_ending(struct span *member, struct span ending)
{
    if (member->len <= ending.len ||
        !span_eq(span_skip(*member, member->len - ending.len), ending)) {
        return false;
    }
    member->len -= ending.len;
    return true;
}

/* The node's name goes to *node. */
static enum fleet_part part_of(struct span member, struct span *node)
{
    *node = member;
    if (cut_ending(node, LISTS)) {
        return FLEET_PART_LISTS;
    }
    return cut_ending(node, SERVERS) ? FLEET_PART_SERVERS : FLEET_PART_NODE;
}

static bool is_part(const struct roster_member *member, enum fleet_part part)
{
    struct span node;
    return part_of(member->name, &node) == part;
}

/* What another node wrote goes into the page's JSON as it is: whatever is no object would spoil all of it,
 * and be blamed on all others. */
static bool is_object(struct span value)
{
    size_t at;
    return value.len > 0 && value.ptr[0] == '{' && utf8_valid(value) && json_valid(value, &at);
}

void fleet_view_name(struct span node, enum fleet_part part, struct buf *out)
{
    buf_append(out, node);
    if (part != FLEET_PART_NODE) {
        buf_append(out, part == FLEET_PART_LISTS ? LISTS : SERVERS);
    }
}

static void count_node(void *arg, const struct roster_member *member)
{
    size_t *count = arg;
    *count += is_part(member, FLEET_PART_NODE);
}

size_t fleet_view_count(const struct roster_watch *nodes)
{
    size_t count = 0;
    roster_each(nodes, count_node, &count);
    return count;
}

/* ------------------------------------------------------------------------------------ all of it */

struct view {
    const struct roster_watch *nodes;
    struct buf *out;
};

/* The lists as a last member of the node's object. */
static void add_lists(const struct view *view, struct span node)
{
    struct buf member = {0};
    struct span lists;
    fleet_view_name(node, FLEET_PART_LISTS, &member);
    if (roster_find(view->nodes, buf_span(&member), &lists) && is_object(lists)) {
        view->out->len--; /* the brace that ends it */
        buf_append(view->out, SPAN(",\"lists\":"));
        buf_append(view->out, lists);
        buf_append(view->out, SPAN("}"));
    }
    buf_free(&member);
}

/* Of an array. */
static void add_element(struct buf *out, struct span value)
{
    buf_append(out, out->ptr[out->len - 1] == '[' ? SPAN("") : SPAN(","));
    buf_append(out, value);
}

static void add_node(void *arg, const struct roster_member *member)
{
    const struct view *view = arg;
    if (is_part(member, FLEET_PART_NODE) && is_object(member->value)) {
        add_element(view->out, member->value);
        if (member->value.len > 2) {
            add_lists(view, member->name);
        }
    }
}

static void add_servers(void *arg, const struct roster_member *member)
{
    if (is_part(member, FLEET_PART_SERVERS) && is_object(member->value)) {
        add_element(arg, member->value);
    }
}

void fleet_view_print(const struct roster_watch *nodes, const struct fleet_events *events,
                      struct buf *out)
{
    struct view view = {nodes, out};
    buf_append(out, SPAN("{\"nodes\":["));
    roster_each(nodes, add_node, &view);
    buf_append(out, SPAN("],\"servers\":["));
    roster_each(nodes, add_servers, out);
    buf_append(out, SPAN("],\"events\":"));
    fleet_events_print(events, out);
    buf_append(out, SPAN(",\"problems\":"));
    fleet_problems_print(nodes, events, out);
    buf_printf(out, ",\"time\":%" PRIu64 "}", clock_unix_ms());
}

/* ------------------------------------------------------------------------------------ what changes */

/* {"of": node, "lists": {...}} */
static void print_lists(struct span node, struct span lists, struct buf *out)
{
    buf_append(out, SPAN("{\"of\":"));
    json_quote(node, out);
    buf_append(out, SPAN(",\"lists\":"));
    buf_append(out, lists);
    buf_append(out, SPAN("}"));
}

void fleet_view_set(struct group *viewers, const struct roster_member *member)
{
    struct span node;
    struct buf text = {0};
    if (!is_object(member->value)) {
        return;
    }
    switch (part_of(member->name, &node)) {
    case FLEET_PART_LISTS:
        print_lists(node, member->value, &text);
        fleet_viewers_send(viewers, buf_span(&text));
        break;
    case FLEET_PART_SERVERS:
        buf_append(&text, SPAN("["));
        buf_append(&text, member->value);
        buf_append(&text, SPAN("]"));
        fleet_viewers_show(viewers, "servers", buf_span(&text));
        break;
    case FLEET_PART_NODE:
        fleet_viewers_show(viewers, "node", member->value);
        break;
    }
    buf_free(&text);
}

/* A node's lists go with it. */
void fleet_view_gone(struct group *viewers, const struct roster_member *member)
{
    struct buf quoted = {0};
    if (is_part(member, FLEET_PART_NODE)) {
        json_quote(member->name, &quoted);
        fleet_viewers_show(viewers, "gone", buf_span(&quoted));
    }
    buf_free(&quoted);
}
