/* SPDX-License-Identifier: MIT */
#include "node/service/fleet/fleet.h"

#include "node/core/metrics_process.h"
#include "node/fanout/group.h"
#include "node/proto/http/auth.h"
#include "node/proto/ws/admit.h"
#include "node/service/fleet/events.h"
#include "node/service/fleet/look.h"
#include "node/service/fleet/problems.h"
#include "node/service/fleet/self.h"
#include "node/service/fleet/view.h"
#include "node/service/fleet/viewers.h"
#include "store/base/clock.h"
#include "store/base/timer.h"
#include "store/roster/roster.h"

#include <stdlib.h>

enum {
    PUBLISH_MS = 2000,         /* while somebody looks */
    PUBLISH_UNSEEN_MS = 10000, /* while nobody does */
    FLEET_ANSWER_MS = 3000,    /* for the first view, before a caller is told that there is none */
    FRESH_MS =
        500, /* for the figures of nodes that were asked for them, before it is shown without */
};

struct fleet {
    struct fleet_options options;
    struct fleet_self self;
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
    struct fleet_events *events;
    struct fleet_servers *servers;
    struct buf problems; /* as viewers were last told */
};

struct asker {
    struct list entry;
    struct fleet *fleet;
    struct http_request *request;
    struct event *limit;
};

static void on_server_moved(void *arg, const char *text)
{
    struct fleet *fleet = arg;
    fleet_events_say_for_all(fleet->events, "failover", text);
}

/* ------------------------------------------------------------------------------------ the view */

static void show_view(struct fleet *fleet)
{
    struct buf view = {0};
    fleet_view_print(fleet->watch, fleet->events, &view);
    fleet_viewers_show_view(&fleet->viewers, buf_span(&view));
    buf_free(&view);
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

/* Figures that nobody sees are told seldom: they cost Redis more than all else that an idle node says. */
static bool is_due(const struct fleet *fleet)
{
    return fleet->self.said_ms == 0 || fleet->watch != NULL || fleet_look_is_on(fleet->look) ||
           clock_monotonic_ms() - fleet->self.said_ms >= PUBLISH_UNSEEN_MS - PUBLISH_MS / 2;
}

static void on_publish(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct fleet *fleet = arg;
    bool due = is_due(fleet);
    metrics_process_refresh(fleet->options.metrics, fleet->options.store);
    fleet_look_again(fleet->look, fleet->watch != NULL);
    fleet_hour_look(&fleet->self.hour, fleet->options.metrics, clock_monotonic_ms());
    if (fleet_self_has_news(&fleet->self) || due) {
        fleet_self_say(&fleet->self, roster_claim_patiently);
    }
    fleet_self_say_servers(&fleet->self, fleet->servers, fleet_events_speaks(fleet->events), due);
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
    fleet_view_print(fleet->watch, fleet->events, &fleet->answer);
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

/* A node told its figures. */
static void note_told(struct fleet *fleet, struct span node)
{
    if (!fleet->current || fleet->fresh) {
        return;
    }
    if (fleet_look_note(fleet->look, node) >= fleet_view_count(fleet->watch)) {
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
        fleet_self_say(&fleet->self, roster_claim);
    }
}

static void on_roster(void *arg, enum roster_event event, const struct roster_member *member)
{
    struct fleet *fleet = arg;
    switch (event) {
    case ROSTER_SET:
        fleet_view_set(&fleet->viewers, member);
        note_told(fleet, member->name);
        break;
    case ROSTER_GONE:
        fleet_view_gone(&fleet->viewers, member);
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
        fleet->watch = roster_watch(fleet->options.store, FLEET_NODES, on_roster, fleet);
    }
}

/* ------------------------------------------------------------------------------------ HTTP */

/* Another node looks. */
static void on_looked_at(void *arg)
{
    struct fleet *fleet = arg;
    fleet_self_say(&fleet->self, roster_claim);
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
    fleet_self_init(&fleet->self, &fleet->options);
    group_init(&fleet->viewers, options->metrics);
    list_init(&fleet->askers);
    fleet->events =
        fleet_events_new(&(struct fleet_events_options){.store = options->store,
                                                        .metrics = options->metrics,
                                                        .node = options->node,
                                                        .kind = options->kind,
                                                        .started_s = fleet->self.started_s,
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
    fleet_self_show(&fleet->self, list);
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
    fleet_self_deinit(&(*fleet)->self);
    buf_free(&(*fleet)->problems);
    buf_free(&(*fleet)->answer);
    fleet_servers_free(&(*fleet)->servers);
    fleet_events_free(&(*fleet)->events);
    free(*fleet);
    *fleet = NULL;
}
