/* SPDX-License-Identifier: MIT */
#include "node/service/fleet/fleet.h"

#include "node/core/metrics_process.h"
#include "node/fanout/group.h"
#include "node/proto/http/auth.h"
#include "node/proto/json/walk.h"
#include "node/proto/ws/admit.h"
#include "node/service/fleet/events.h"
#include "node/service/fleet/hour.h"
#include "node/service/fleet/look.h"
#include "node/service/fleet/problems.h"
#include "node/service/fleet/servers.h"
#include "node/service/fleet/viewers.h"
#include "store/base/clock.h"
#include "store/base/timer.h"
#include "store/base/utf8.h"
#include "store/roster/roster.h"

#include <inttypes.h>
#include <stdlib.h>

#define NODES SPAN("nodes")

enum {
    PUBLISH_MS = 2000,         /* while somebody looks */
    PUBLISH_UNSEEN_MS = 10000, /* while nobody does */
    FLEET_ANSWER_MS = 3000,    /* for the first view, before a caller is told that there is none */
    FRESH_MS =
        500, /* for the figures of nodes that were asked for them, before it is shown without */
    US_PER_BYTE = 1000, /* pause after lists of so many bytes were published */
    US_PER_US = 100,    /* and after they took so long to gather */
    ZONE_MOST = 40,     /* bytes of a zone that are told */
};

/* Behind a node's name, which has no blank in it. */
#define LISTS SPAN(" lists")
#define SERVERS SPAN(" servers")

struct fleet {
    struct fleet_options options;
    uint64_t started_s; /* unix */
    struct event *publish;
    struct group viewers;
    struct list askers; /* GET /api/status that wait for fresh figures */
    struct buf answer;  /* what such were told last, for requests that come soon after them */
    uint64_t answered_ms;
    struct roster_watch *watch; /* while a page is open */
    bool current;               /* its view may be shown */
    bool asked, fresh; /* since then all in it were asked for their figures, and have told them */
    struct fleet_look *look;
    struct event *fresh_limit;
    struct buf said;  /* the state with which the figures were told last, */
    uint64_t said_ms; /* and when; 0: never */
    struct fleet_list lists[FLEET_LISTS];
    size_t list_count;
    struct buf published; /* the lists as the roster has them */
    uint64_t lists_due_us;
    struct fleet_events *events;
    struct fleet_servers *servers;
    struct buf told; /* of the servers, as the roster has it; empty: another node tells */
    struct fleet_hour hour;
    struct buf problems; /* as viewers were last told */
    bool store_seen;
    uint64_t away_ms; /* unix, since when a server is; 0: all are there */
};

typedef void fleet_claim_fn(struct store *store, struct span key, struct span member,
                            struct span value);

struct asker {
    struct list entry;
    struct fleet *fleet;
    struct http_request *request;
    struct event *limit;
};

/* ------------------------------------------------------------------------------------ this node */

/* What this node cannot reach of the store, and since when. */
static void print_away(struct fleet *fleet, struct buf *out)
{
    if (!fleet->store_seen || store_ready(fleet->options.store)) {
        fleet->away_ms = 0;
        return;
    }
    fleet->away_ms = fleet->away_ms != 0 ? fleet->away_ms : clock_unix_ms();
    buf_printf(out, ",\"away_since\":%" PRIu64 ",\"away\":", fleet->away_ms);
    fleet_servers_print_away(fleet->options.store, out);
}

static const char *state_of(struct fleet *fleet)
{
    const struct fleet_options *options = &fleet->options;
    const char *trouble = options->trouble(options->trouble_arg);
    fleet->store_seen |= store_ready(options->store);
    if (!fleet->store_seen) {
        return "starting"; /* it has not lost what it has not had yet */
    }
    return trouble != NULL ? trouble : "well";
}

static void print_node(struct fleet *fleet, struct buf *out)
{
    const struct fleet_options *options = &fleet->options;
    const char *state = state_of(fleet);
    metrics_process_refresh(options->metrics, options->store);
    buf_append(out, SPAN("{\"name\":"));
    json_quote(span_str(options->node), out);
    buf_printf(out, ",\"kind\":\"%s\"", options->kind);
    buf_printf(out, ",\"version\":\"%s\",\"started\":%" PRIu64 ",\"time\":%" PRIu64 ",\"state\":",
               MUSTER_VERSION, fleet->started_s, clock_unix_ms());
    json_quote(span_str(state), out);
    buf_append(out, SPAN(",\"http\":"));
    json_quote(span_str(options->http), out);
    if (options->zone[0] != '\0') {
        buf_append(out, SPAN(",\"zone\":"));
        json_quote_cut(span_str(options->zone), ZONE_MOST, out);
    }
    print_away(fleet, out);
    if (options->more != NULL) {
        options->more(options->more_arg, out);
    }
    buf_append(out, SPAN(",\"figures\":{"));
    metrics_print_json(options->metrics, out);
    buf_append(out, SPAN("}}"));
}

/* Lists that change all the time cost the fleet a steady and small number of bytes, and this node a
 * hundredth of its time; those of a quiet fleet are as fresh as the figures. */
static void publish_lists(struct fleet *fleet, fleet_claim_fn *claim)
{
    uint64_t now = clock_monotonic_us();
    if (now < fleet->lists_due_us) {
        return;
    }
    struct buf lists = {0};
    for (size_t i = 0; i < fleet->list_count; i++) {
        struct buf list = {0};
        fleet->lists[i].print(fleet->lists[i].arg, &list);
        if (list.len <= FLEET_LIST_BYTES && lists.len + list.len <= FLEET_LISTS_BYTES) {
            buf_printf(&lists, "%s\"%s\":", lists.len > 0 ? "," : "{", fleet->lists[i].name);
            buf_append(&lists, buf_span(&list));
        }
        buf_free(&list);
    }
    buf_append(&lists, lists.len > 0 ? SPAN(",\"hour\":") : SPAN("{\"hour\":"));
    fleet_hour_print(&fleet->hour, &lists);
    buf_append(&lists, SPAN("}"));
    fleet->lists_due_us = now + (clock_monotonic_us() - now) * US_PER_US;
    if (span_eq(buf_span(&lists), buf_span(&fleet->published))) {
        buf_free(&lists);
        return;
    }
    buf_free(&fleet->published);
    fleet->published = lists;
    struct buf member = {0};
    buf_append(&member, span_str(fleet->options.node));
    buf_append(&member, LISTS);
    claim(fleet->options.store, NODES, buf_span(&member), buf_span(&fleet->published));
    buf_free(&member);
    uint64_t due = now + (uint64_t)lists.len * US_PER_BYTE;
    fleet->lists_due_us = due > fleet->lists_due_us ? due : fleet->lists_due_us;
}

/* One node asks the servers of the store, and tells all. */
static void publish_servers(struct fleet *fleet, bool speaks, bool due)
{
    struct buf member = {0}, told = {0};
    fleet_servers_look(fleet->servers, speaks);
    if (speaks && !due && fleet->told.len > 0) {
        return;
    }
    buf_append(&member, span_str(fleet->options.node));
    buf_append(&member, SERVERS);
    if (fleet_servers_print(fleet->servers, fleet->options.node, &told)) {
        if (!span_eq(buf_span(&told), buf_span(&fleet->told))) {
            roster_claim_patiently(fleet->options.store, NODES, buf_span(&member), buf_span(&told));
        }
    } else if (fleet->told.len > 0) {
        roster_release(fleet->options.store, NODES, buf_span(&member));
    }
    buf_free(&fleet->told);
    fleet->told = told;
    buf_free(&member);
}

static void on_server_moved(void *arg, const char *text)
{
    struct fleet *fleet = arg;
    fleet_events_say_for_all(fleet->events, "failover", text);
}

/* ------------------------------------------------------------------------------------ the view */

/* Has the member that ending? Then the node's name before it goes to *node. */
static bool is_of(struct span member, struct span ending, struct span *node)
{
    if (member.len <= ending.len || !span_eq(span_skip(member, member.len - ending.len), ending)) {
        return false;
    }
    *node = span_of(member.ptr, member.len - ending.len);
    return true;
}

static bool is_lists(struct span member, struct span *node)
{
    return is_of(member, LISTS, node);
}

static bool is_servers(struct span member)
{
    struct span node;
    return is_of(member, SERVERS, &node);
}

/* What another node wrote goes into the page's JSON as it is: whatever is no object would spoil all of it,
 * and be blamed on all others. */
static bool is_object(struct span value)
{
    size_t at;
    return value.len > 0 && value.ptr[0] == '{' && utf8_valid(value) && json_valid(value, &at);
}

struct view {
    const struct fleet *fleet;
    struct buf *out;
};

/* The lists as a last member of the node's object. */
static void add_lists(const struct view *view, struct span node)
{
    struct buf member = {0};
    struct span lists;
    buf_append(&member, node);
    buf_append(&member, LISTS);
    if (roster_find(view->fleet->watch, buf_span(&member), &lists) && is_object(lists)) {
        view->out->len--; /* the brace that ends it */
        buf_append(view->out, SPAN(",\"lists\":"));
        buf_append(view->out, lists);
        buf_append(view->out, SPAN("}"));
    }
    buf_free(&member);
}

static void add_node(void *arg, const struct roster_member *member)
{
    const struct view *view = arg;
    struct buf *out = view->out;
    struct span node;
    if (is_lists(member->name, &node) || is_servers(member->name) || !is_object(member->value)) {
        return;
    }
    if (out->ptr[out->len - 1] != '[') {
        buf_append(out, SPAN(","));
    }
    buf_append(out, member->value);
    if (member->value.len > 2) {
        add_lists(view, member->name);
    }
}

static void add_servers(void *arg, const struct roster_member *member)
{
    struct buf *out = arg;
    if (is_servers(member->name) && is_object(member->value)) {
        buf_append(out, out->ptr[out->len - 1] == '[' ? SPAN("") : SPAN(","));
        buf_append(out, member->value);
    }
}

static void print_view(const struct fleet *fleet, struct buf *out)
{
    struct view view = {fleet, out};
    buf_append(out, SPAN("{\"nodes\":["));
    roster_each(fleet->watch, add_node, &view);
    buf_append(out, SPAN("],\"servers\":["));
    roster_each(fleet->watch, add_servers, out);
    buf_append(out, SPAN("],\"events\":"));
    fleet_events_print(fleet->events, out);
    buf_append(out, SPAN(",\"problems\":"));
    fleet_problems_print(fleet->watch, fleet->events, out);
    buf_printf(out, ",\"time\":%" PRIu64 "}", clock_unix_ms());
}

static void show_view(struct fleet *fleet)
{
    struct buf view = {0};
    print_view(fleet, &view);
    fleet_viewers_show_view(&fleet->viewers, buf_span(&view));
    buf_free(&view);
}

static void on_set(struct fleet *fleet, const struct roster_member *member)
{
    struct span node;
    if (!is_object(member->value)) {
        return;
    }
    if (is_lists(member->name, &node)) {
        /* {"of": node, "lists": {...}} */
        struct buf text = {0};
        buf_append(&text, SPAN("{\"of\":"));
        json_quote(node, &text);
        buf_append(&text, SPAN(",\"lists\":"));
        buf_append(&text, member->value);
        buf_append(&text, SPAN("}"));
        fleet_viewers_send(&fleet->viewers, buf_span(&text));
        buf_free(&text);
    } else if (is_servers(member->name)) {
        struct buf text = {0};
        buf_append(&text, SPAN("["));
        buf_append(&text, member->value);
        buf_append(&text, SPAN("]"));
        fleet_viewers_show(&fleet->viewers, "servers", buf_span(&text));
        buf_free(&text);
    } else {
        fleet_viewers_show(&fleet->viewers, "node", member->value);
    }
}

/* A node's lists go with it. */
static void on_gone(struct fleet *fleet, const struct roster_member *member)
{
    struct span node;
    if (!is_lists(member->name, &node) && !is_servers(member->name)) {
        struct buf quoted = {0};
        json_quote(member->name, &quoted);
        fleet_viewers_show(&fleet->viewers, "gone", buf_span(&quoted));
        buf_free(&quoted);
    }
}

/* They follow from all nodes' words at once: looked at with each publishing. */
static void show_problems(struct fleet *fleet)
{
    struct buf problems = {0};
    if (!fleet->current || fleet->viewers.count == 0) {
        return;
    }
    fleet_problems_print(fleet->watch, fleet->events, &problems);
    if (span_eq(buf_span(&problems), buf_span(&fleet->problems))) {
        buf_free(&problems);
        return;
    }
    fleet_viewers_show(&fleet->viewers, "problems", buf_span(&problems));
    buf_free(&fleet->problems);
    fleet->problems = problems;
}

/* A client that opens the page while the store is away is told so, and does not wait for a view. */
static void show_absence(struct fleet *fleet)
{
    if (!fleet->current && fleet->viewers.count > 0 && !store_ready(fleet->options.store)) {
        fleet_viewers_send_new(&fleet->viewers, SPAN("{\"stale\":true}"));
    }
}

/* What was told so lately that nodes have hardly said more since: the roster is read for many who ask
 * once. */
static bool is_fresh(const struct fleet *fleet)
{
    return fleet->answer.len > 0 && clock_monotonic_ms() - fleet->answered_ms < PUBLISH_MS;
}

static void forget_answer(struct fleet *fleet)
{
    if (!is_fresh(fleet)) {
        buf_free(&fleet->answer);
    }
}

/* The lists first: who waits for the figures has both then. */
static void publish(struct fleet *fleet, fleet_claim_fn *claim)
{
    struct buf value = {0};
    publish_lists(fleet, claim);
    print_node(fleet, &value);
    claim(fleet->options.store, NODES, span_str(fleet->options.node), buf_span(&value));
    buf_free(&value);
    fleet->said_ms = clock_monotonic_ms();
}

/* Another state than was told last is told at once in any case. */
static bool is_news(struct fleet *fleet)
{
    struct buf state = {0};
    buf_append(&state, span_str(state_of(fleet)));
    print_away(fleet, &state);
    bool news = !span_eq(buf_span(&state), buf_span(&fleet->said));
    buf_free(&fleet->said);
    fleet->said = state;
    return news;
}

/* Figures that nobody sees are told seldom: they cost Redis more than all else that an idle node says. */
static bool is_due(const struct fleet *fleet)
{
    return fleet->said_ms == 0 || fleet->watch != NULL || fleet_look_is_on(fleet->look) ||
           clock_monotonic_ms() - fleet->said_ms >= PUBLISH_UNSEEN_MS - PUBLISH_MS / 2;
}

static void on_publish(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct fleet *fleet = arg;
    bool due = is_due(fleet);
    metrics_process_refresh(fleet->options.metrics, fleet->options.store);
    fleet_look_again(fleet->look, fleet->watch != NULL);
    fleet_hour_look(&fleet->hour, fleet->options.metrics, clock_monotonic_ms());
    if (is_news(fleet) || due) {
        publish(fleet, roster_claim_patiently);
    }
    publish_servers(fleet, fleet_events_speaks(fleet->events), due);
    fleet_events_look(fleet->events, fleet->options.trouble(fleet->options.trouble_arg));
    show_problems(fleet);
    show_absence(fleet);
    forget_answer(fleet);
}

/* ------------------------------------------------------------------------------------ askers */

static struct http_request *asker_end(struct asker *asker)
{
    struct http_request *request = asker->request;
    list_del(&asker->entry);
    event_free(asker->limit);
    free(asker);
    return request;
}

static void answer_askers(struct fleet *fleet)
{
    if (list_empty(&fleet->askers)) {
        return;
    }
    fleet->answer.len = 0;
    fleet->answered_ms = clock_monotonic_ms();
    print_view(fleet, &fleet->answer);
    while (!list_empty(&fleet->askers)) {
        struct asker *asker = LIST_ITEM(fleet->askers.next, struct asker, entry);
        http_reply(asker_end(asker), 200, "application/json", buf_span(&fleet->answer));
    }
}

/* What the view has may be old. */
static void doubt(struct fleet *fleet)
{
    fleet->current = fleet->asked = fleet->fresh = false;
    fleet_look_forget(fleet->look);
    event_del(fleet->fresh_limit);
}

/* The watch ends with the last open page. */
static void look_away(struct fleet *fleet)
{
    if (fleet->viewers.count == 0 && list_empty(&fleet->askers)) {
        roster_unwatch(&fleet->watch);
        doubt(fleet);
    }
}

/* Who asked gets what there is: all that was waited for, or no more. */
static void show_fresh(struct fleet *fleet)
{
    event_del(fleet->fresh_limit);
    fleet->fresh = true;
    answer_askers(fleet);
    look_away(fleet);
}

static void on_fresh_limit(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    show_fresh(arg);
}

static void count_node(void *arg, const struct roster_member *member)
{
    size_t *nodes = arg;
    struct span node;
    *nodes += !is_lists(member->name, &node) && !is_servers(member->name);
}

/* A node told its figures. */
static void note_told(struct fleet *fleet, struct span node)
{
    size_t nodes = 0;
    if (!fleet->current || fleet->fresh) {
        return;
    }
    roster_each(fleet->watch, count_node, &nodes);
    if (fleet_look_note(fleet->look, node) >= nodes) {
        show_fresh(fleet);
    }
}

/* The figures that the view begins with may be as old as figures get that nobody sees. */
static void begin_fresh(struct fleet *fleet)
{
    if (!fleet->asked) {
        fleet->asked = true;
        fleet_look_begin(fleet->look);
        timer_after(fleet->fresh_limit, FRESH_MS);
        publish(fleet, roster_claim);
    }
}

static void on_roster(void *arg, enum roster_event event, const struct roster_member *member)
{
    struct fleet *fleet = arg;
    switch (event) {
    case ROSTER_SET:
        on_set(fleet, member);
        note_told(fleet, member->name);
        break;
    case ROSTER_GONE:
        on_gone(fleet, member);
        break;
    case ROSTER_CURRENT:
        fleet->current = true;
        show_view(fleet);
        begin_fresh(fleet);
        break;
    case ROSTER_STALE:
        doubt(fleet);
        fleet_viewers_show(&fleet->viewers, "stale", SPAN("true"));
        break;
    case ROSTER_CHANGED:
        break;
    }
}

static void look(struct fleet *fleet)
{
    if (fleet->watch == NULL) {
        fleet->watch = roster_watch(fleet->options.store, NODES, on_roster, fleet);
    }
}

/* ------------------------------------------------------------------------------------ HTTP */

/* Another node looks. */
static void on_looked_at(void *arg)
{
    publish(arg, roster_claim);
}

static void on_limit(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct asker *asker = arg;
    struct fleet *fleet = asker->fleet;
    http_reply_error(asker_end(asker), 503, "the store cannot be reached");
    look_away(fleet);
}

static void on_status(void *arg, struct http_request *request)
{
    struct fleet *fleet = arg;
    if (!http_authorize(request, HTTP_AUTH_IF_SET, fleet->options.token, "token")) {
        return;
    }
    if (!fleet->current && is_fresh(fleet) && store_ready(fleet->options.store)) {
        http_reply(request, 200, "application/json", buf_span(&fleet->answer));
        return;
    }
    struct asker *asker = mem_zalloc(sizeof(*asker));
    asker->fleet = fleet;
    asker->request = request;
    asker->limit = evtimer_new(loop_base(fleet->options.loop), on_limit, asker);
    timer_after(asker->limit, FLEET_ANSWER_MS);
    list_push_back(&fleet->askers, &asker->entry);
    look(fleet);
    if (fleet->current && fleet->fresh) {
        answer_askers(fleet);
    }
}

static void on_message(void *arg, enum ws_kind kind, struct span payload)
{
    (void)arg;
    (void)kind;
    (void)payload; /* a viewer has nothing to say */
}

static void on_closed(void *arg)
{
    struct fleet_viewer *viewer = arg;
    struct fleet *fleet = viewer->owner;
    group_remove(&fleet->viewers, &viewer->member);
    free(viewer);
    look_away(fleet);
}

static void on_live(void *arg, struct http_request *request)
{
    static const struct ws_handler handler = {.message = on_message, .closed = on_closed};
    struct fleet *fleet = arg;
    if (!ws_admits(request, fleet->options.token)) {
        return;
    }
    struct fleet_viewer *viewer = mem_zalloc(sizeof(*viewer));
    viewer->owner = fleet;
    struct ws *ws = ws_accept(request, &handler, viewer);
    if (ws == NULL) {
        free(viewer);
        return;
    }
    group_add(&fleet->viewers, &viewer->member, ws);
    look(fleet);
    if (fleet->current) {
        show_view(fleet);
    } else {
        show_absence(fleet);
    }
}

/* Three dots of a roll call; the pages draw their own, by how things are. */
static const char icon[] =
    "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 16 16\">"
    "<g fill=\"#2a7\"><circle cx=\"3\" cy=\"8\" r=\"2\"/>"
    "<circle cx=\"8\" cy=\"8\" r=\"2\"/><circle cx=\"13\" cy=\"8\" r=\"2\"/></g></svg>";

static void on_icon(void *arg, struct http_request *request)
{
    (void)arg;
    http_reply_field(request, "Cache-Control", SPAN("max-age=86400"));
    http_reply(request, 200, "image/svg+xml", span_str(icon));
}

/* ------------------------------------------------------------------------------------ life */

struct fleet *fleet_new(struct http_server *server, const struct fleet_options *options)
{
    struct fleet *fleet = mem_zalloc(sizeof(*fleet));
    fleet->options = *options;
    fleet->started_s = clock_unix_ms() / 1000;
    group_init(&fleet->viewers, options->metrics);
    list_init(&fleet->askers);
    fleet->events = fleet_events_new(&(struct fleet_events_options){.store = options->store,
                                                                    .metrics = options->metrics,
                                                                    .node = options->node,
                                                                    .kind = options->kind,
                                                                    .started_s = fleet->started_s,
                                                                    .viewers = &fleet->viewers});
    fleet->servers = fleet_servers_new(options->store, on_server_moved, fleet);
    fleet->look = fleet_look_new(options->store, options->loop, on_looked_at, fleet);
    fleet->fresh_limit = evtimer_new(loop_base(options->loop), on_fresh_limit, fleet);
    fleet->publish = event_new(loop_base(options->loop), -1, EV_PERSIST, on_publish, fleet);
    timer_after(fleet->publish, PUBLISH_MS);
    event_active(fleet->publish, EV_TIMEOUT, 0);
    http_route(server, "GET", "/favicon.svg", on_icon, NULL);
    http_route(server, "GET", "/api/status", on_status, fleet);
    http_route_websocket(server, "/api/status/live", on_live, fleet);
    http_guard(server, "/api/status", HTTP_ORIGIN_OWN);
    http_guard(server, "/api/status/live", HTTP_ORIGIN_OWN);
    return fleet;
}

void fleet_show(struct fleet *fleet, const struct fleet_list *list)
{
    if (fleet->list_count < FLEET_LISTS) {
        fleet->lists[fleet->list_count++] = *list;
    }
}

void fleet_leave(struct fleet *fleet)
{
    fleet_events_leave(fleet->events);
}

void fleet_free(struct fleet **fleet)
{
    if (*fleet == NULL) {
        return;
    }
    while (!list_empty(&(*fleet)->askers)) {
        struct asker *asker = LIST_ITEM((*fleet)->askers.next, struct asker, entry);
        http_reply_error(asker_end(asker), 503, "the node is going away");
    }
    roster_unwatch(&(*fleet)->watch);
    fleet_look_free(&(*fleet)->look);
    event_free((*fleet)->fresh_limit);
    event_free((*fleet)->publish);
    buf_free(&(*fleet)->said);
    buf_free(&(*fleet)->published);
    buf_free(&(*fleet)->problems);
    buf_free(&(*fleet)->told);
    buf_free(&(*fleet)->answer);
    fleet_servers_free(&(*fleet)->servers);
    fleet_events_free(&(*fleet)->events);
    free(*fleet);
    *fleet = NULL;
}
