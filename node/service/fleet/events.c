/* SPDX-License-Identifier: MIT */
#include "node/service/fleet/events.h"

#include "node/proto/json/scan.h"
#include "node/service/fleet/viewers.h"
#include "store/base/clock.h"
#include "store/base/mem.h"
#include "store/base/utf8.h"
#include "store/history/history.h"
#include "store/roster/roster.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PRESENCE SPAN("presence")
#define EVENTS SPAN("fleet events")

enum {
    EVENTS_MOST = 100,
    LOST_MOST = 32,       /* nodes that may be lost at once, and be judged */
    LOST_AFTER_MS = 5000, /* so long after its lease a node must stay away */
    SHOWN_MS = 3600 * 1000,
    SAY_AGAIN_MS = 60 * 1000, /* of one counter, at most so often */
    SAY_WAIT_MS = 30 * 1000,
};

/* Counters and gauges whose growth is news. */
static const struct newsworthy {
    enum metric_id metric;
    const char *what, *text;
} newsworthy[] = {
    {METRIC_CONNS_REFUSED, "limit", "a limit was reached: connections were turned away"},
    {METRIC_DISPATCH_UNBOUND, "port", "a device port cannot be bound"},
    {METRIC_LOGS_REFUSED, "limit", "log entries were refused"},
    {METRIC_SINK_LANES, "sink", "took over lanes of the log stream"},
    {METRIC_SINK_LOST, "sink", "lost PostgreSQL with a transaction under way"},
    {METRIC_STREAM_LOST, "store", "Redis lost log entries that it had accepted"},
    {METRIC_CHAT_LOST, "store", "chat messages were gone before clients here heard them"},
    {METRIC_SINK_MISSED, "sink", "log entries were gone before they could be stored"},
};
enum { NEWSWORTHY = sizeof(newsworthy) / sizeof(*newsworthy) };

struct event_text {
    uint64_t at_ms; /* unix */
    struct buf json;
};

struct missing {
    struct buf name;
    uint64_t at_ms;  /* unix */
    uint64_t due_ms; /* monotonic */
};

struct fleet_events {
    struct fleet_events_options options;
    struct history_watch *history;
    struct roster_watch *presence;
    struct event_text ring[EVENTS_MOST]; /* the oldest first */
    size_t count;
    struct missing missing[LOST_MOST];
    size_t missing_count;
    uint64_t was[NEWSWORTHY], said_ms[NEWSWORTHY];
    uint64_t store_lost_ms; /* unix; 0: it is there, or never was */
    struct buf store_lost;  /* what was lost */
    bool store_was_there;
    struct buf state;  /* what was last said of it */
    uint64_t state_ms; /* monotonic, when */
    bool stale;        /* the history's server cannot be reached */
    bool came, leaving, looked;
};

/* ------------------------------------------------------------------------------------ saying */

static void say(struct fleet_events *events, const char *what, const char *node, uint64_t at_ms,
                const char *text)
{
    struct buf json = {0};
    buf_printf(&json, "{\"at\":%" PRIu64 ",\"what\":\"%s\",\"node\":", at_ms, what);
    json_quote(span_str(node), &json);
    buf_append(&json, SPAN(",\"text\":"));
    json_quote(span_str(text), &json);
    buf_append(&json, SPAN("}"));
    const struct history_append append = {
        .key = EVENTS, .value = buf_span(&json), .most = EVENTS_MOST, .wait_ms = SAY_WAIT_MS};
    if (history_append(events->options.store, &append) != 0) {
        /* The queue is full, so the store has been away for long: that will be said instead. */
    }
    buf_free(&json);
}

static void say_own(struct fleet_events *events, const char *what, const char *text)
{
    say(events, what, events->options.node, clock_unix_ms(), text);
}

static void look_at_store(struct fleet_events *events);

/* ------------------------------------------------------------------------------- the last hundred */

static void ring_remove(struct fleet_events *events, size_t at)
{
    buf_free(&events->ring[at].json);
    events->count--;
    memmove(&events->ring[at], &events->ring[at + 1], (events->count - at) * sizeof(*events->ring));
}

/* The same event may stand there twice, under two ids, when the store lost its memory meanwhile. */
static bool ring_has(const struct fleet_events *events, struct span json)
{
    for (size_t i = 0; i < events->count; i++) {
        if (span_eq(buf_span(&events->ring[i].json), json)) {
            return true;
        }
    }
    return false;
}

static uint64_t at_of(struct span json)
{
    struct json_field at = {.name = "at"};
    bool good = utf8_valid(json) && json_fields(json, &at, 1) == 0 && at.kind == JSON_KIND_NUMBER;
    return good ? strtoull(at.raw.ptr, NULL, 10) : 0;
}

/* By their times: ids begin again when the store has lost its memory. */
static bool ring_add(struct fleet_events *events, struct span json)
{
    uint64_t at_ms = at_of(json);
    size_t at = events->count;
    if (at_ms == 0 || ring_has(events, json)) {
        return false;
    }
    while (at > 0 && events->ring[at - 1].at_ms > at_ms) {
        at--;
    }
    if (events->count == EVENTS_MOST) {
        if (at == 0) {
            return false;
        }
        ring_remove(events, 0);
        at--;
    }
    memmove(&events->ring[at + 1], &events->ring[at], (events->count - at) * sizeof(*events->ring));
    events->ring[at] = (struct event_text){.at_ms = at_ms};
    buf_append(&events->ring[at].json, json);
    events->count++;
    return true;
}

static void take(struct fleet_events *events, const struct history_entry *entry)
{
    if (ring_add(events, entry->value)) {
        fleet_viewers_show(events->options.viewers, "event", entry->value);
    }
}

static void on_read(void *arg, uint64_t tag, bool ok, struct span entries)
{
    (void)tag;
    struct fleet_events *events = arg;
    struct history_entry entry;
    while (ok && history_next(&entries, &entry)) {
        take(events, &entry);
    }
}

static void read_all(struct fleet_events *events)
{
    if (history_read(events->options.store, EVENTS, 0, EVENTS_MOST, on_read, events, 0) != 0) {
        /* The link has just gone: CURRENT comes again. */
    }
}

static void on_history(void *arg, enum history_event event, const struct history_entry *entry)
{
    struct fleet_events *events = arg;
    switch (event) {
    case HISTORY_ENTRY:
        take(events, entry);
        break;
    case HISTORY_STALE:
        events->stale = true;
        look_at_store(events);
        break;
    case HISTORY_CURRENT:
        events->stale = false;
        look_at_store(events);
        read_all(events);
        break;
    case HISTORY_LOST:
        read_all(events);
        break;
    }
}

void fleet_events_print(const struct fleet_events *events, struct buf *out)
{
    buf_append(out, SPAN("["));
    for (size_t i = events->count; i-- > 0;) {
        buf_append(out, buf_span(&events->ring[i].json));
        if (i > 0) {
            buf_append(out, SPAN(","));
        }
    }
    buf_append(out, SPAN("]"));
}

/* ------------------------------------------------------------------------------------ presence */

static void claim(struct fleet_events *events)
{
    const struct fleet_events_options *options = &events->options;
    struct buf value = {0};
    buf_printf(&value, "{\"kind\":\"%s\",\"version\":\"%s\",\"started\":%" PRIu64 "%s}",
               options->kind, MUSTER_VERSION, options->started_s,
               events->leaving ? ",\"leaving\":true" : "");
    roster_claim(options->store, PRESENCE, span_str(options->node), buf_span(&value));
    buf_free(&value);
}

struct attendance {
    struct span first; /* of the names */
    struct span node;
    bool other_like_this, others;
};

static bool comes_before(struct span a, struct span b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = memcmp(a.ptr, b.ptr, len);
    return order < 0 || (order == 0 && a.len < b.len);
}

static void attend(void *arg, const struct roster_member *member)
{
    struct attendance *attendance = arg;
    static const char version[] = "\"version\":\"" MUSTER_VERSION "\"";
    if (attendance->first.ptr == NULL || comes_before(member->name, attendance->first)) {
        attendance->first = member->name;
    }
    if (!span_eq(member->name, attendance->node)) {
        attendance->others = true;
        attendance->other_like_this |=
            memmem(member->value.ptr, member->value.len, version, sizeof(version) - 1) != NULL;
    }
}

static struct attendance attendance_of(const struct fleet_events *events)
{
    struct attendance attendance = {.node = span_str(events->options.node)};
    roster_each(events->presence, attend, &attendance);
    return attendance;
}

/* An event that all nodes see is reported by one of them. */
bool fleet_events_speaks(const struct fleet_events *events)
{
    struct attendance attendance = attendance_of(events);
    return attendance.first.ptr == NULL || span_eq(attendance.first, attendance.node);
}

void fleet_events_say_for_all(struct fleet_events *events, const char *what, const char *text)
{
    if (fleet_events_speaks(events)) {
        say(events, what, "", clock_unix_ms(), text);
    }
}

static void missing_remove(struct fleet_events *events, size_t at)
{
    buf_free(&events->missing[at].name);
    events->missing[at] = events->missing[--events->missing_count];
}

static void on_gone(struct fleet_events *events, const struct roster_member *member)
{
    bool left = memmem(member->value.ptr, member->value.len, "\"leaving\":true", 14) != NULL;
    if (left || events->missing_count == LOST_MOST) {
        return;
    }
    struct missing *missing = &events->missing[events->missing_count++];
    *missing =
        (struct missing){.at_ms = clock_unix_ms(), .due_ms = clock_monotonic_ms() + LOST_AFTER_MS};
    buf_append(&missing->name, member->name);
}

static void on_presence(void *arg, enum roster_event event, const struct roster_member *member)
{
    struct fleet_events *events = arg;
    if (event == ROSTER_GONE) {
        on_gone(events, member);
    } else if (event == ROSTER_CURRENT && !events->came && !events->leaving) {
        struct attendance attendance = attendance_of(events);
        struct buf text = {0};
        bool first = attendance.others && !attendance.other_like_this;
        buf_printf(&text, "%s of version %s came%s", events->options.kind, MUSTER_VERSION,
                   first ? ", the first of its version" : "");
        say_own(events, first ? "version" : "came", buf_text(&text));
        buf_free(&text);
        events->came = true;
    }
}

static void judge_missing(struct fleet_events *events)
{
    uint64_t now = clock_monotonic_ms();
    struct span value;
    for (size_t i = events->missing_count; i-- > 0;) {
        struct missing *missing = &events->missing[i];
        if (roster_find(events->presence, buf_span(&missing->name), &value)) {
            missing_remove(events, i);
        } else if (now >= missing->due_ms && store_ready(events->options.store)) {
            if (fleet_events_speaks(events)) {
                say(events, "lost", buf_text(&missing->name), missing->at_ms,
                    "was lost: it did not leave in order");
            }
            missing_remove(events, i);
        }
    }
}

void fleet_events_each_lost(const struct fleet_events *events,
                            void (*fn)(void *arg, struct span node, uint64_t at_ms), void *arg)
{
    uint64_t now = clock_unix_ms();
    for (size_t i = events->count; i-- > 0;) {
        struct json_field fields[] = {{.name = "what"}, {.name = "node"}, {.name = "at"}};
        struct buf name = {0};
        struct span value;
        if (json_fields(buf_span(&events->ring[i].json), fields, 3) != 0 ||
            !span_eq(fields[0].raw, SPAN("\"lost\"")) || fields[1].kind != JSON_KIND_STRING ||
            fields[2].kind != JSON_KIND_NUMBER) {
            continue;
        }
        uint64_t at_ms = strtoull(fields[2].raw.ptr, NULL, 10);
        json_unquote(fields[1].raw, &name);
        if (at_ms + SHOWN_MS > now && !roster_find(events->presence, buf_span(&name), &value)) {
            fn(arg, fields[1].raw, at_ms);
        }
        buf_free(&name);
    }
}

/* ------------------------------------------------------------------------------------ this node */

/* Both at once: while it was away nothing could be said. */
static void say_store_is_back(struct fleet_events *events, uint64_t now)
{
    struct buf text = {0};
    struct span away = buf_span(&events->store_lost);
    if (!fleet_events_speaks(events)) {
        return;
    }
    buf_append(&text, SPAN("the store could not be reached"));
    buf_printf(&text, "%s%.*s", away.len > 0 ? "; " : "", SPAN_ARG(away));
    say(events, "store lost", "", events->store_lost_ms, buf_text(&text));
    text.len = 0;
    buf_printf(&text, "the store was away for %" PRIu64 " s and is back",
               (now - events->store_lost_ms + 999) / 1000);
    say(events, "store back", "", now, buf_text(&text));
    buf_free(&text);
}

static void look_at_store(struct fleet_events *events)
{
    bool ready = store_ready(events->options.store) && !events->stale;
    uint64_t now = clock_unix_ms();
    events->store_was_there |= ready;
    if (!ready && events->store_was_there && events->store_lost_ms == 0) {
        events->store_lost_ms = now;
        events->store_lost.len = 0;
        store_print_away(events->options.store, &events->store_lost);
    } else if (ready && events->store_lost_ms != 0) {
        say_store_is_back(events, now);
        events->store_lost_ms = 0;
    }
}

/* What says itself by other means: the store, and how a node comes and goes. */
static bool is_state_of_its_own(const char *state)
{
    static const char *const others[] = {"draining", "starting", "the store cannot be reached"};
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        if (strcmp(state, others[i]) == 0) {
            return false;
        }
    }
    return true;
}

static void look_at_state(struct fleet_events *events, const char *state)
{
    const char *now = state != NULL && is_state_of_its_own(state) ? state : "";
    if (span_eq(span_str(now), buf_span(&events->state))) {
        return;
    }
    uint64_t now_ms = clock_monotonic_ms();
    if (now[0] != '\0' && events->state.len > 0 && now_ms - events->state_ms < SAY_AGAIN_MS) {
        return; /* it may have seconds in it: another text is no news */
    }
    if (now[0] != '\0') {
        struct buf line = {0}; /* the first one says what */
        buf_append(&line, span_of(now, strcspn(now, "\n")));
        say_own(events, "state", buf_text(&line));
        buf_free(&line);
        events->state_ms = now_ms;
    } else if (state == NULL) {
        say_own(events, "well", "is well again");
    } else {
        return; /* it goes: that is told elsewhere */
    }
    events->state.len = 0;
    buf_append(&events->state, span_str(now));
}

void fleet_events_look(struct fleet_events *events, const char *state)
{
    look_at_store(events);
    judge_missing(events);
    if (events->came) {
        look_at_state(events, state);
        uint64_t now = clock_monotonic_ms();
        for (size_t i = 0; i < NEWSWORTHY; i++) {
            uint64_t value = events->options.metrics->value[newsworthy[i].metric];
            bool due = events->said_ms[i] == 0 || now - events->said_ms[i] >= SAY_AGAIN_MS;
            if (value > events->was[i] && due && events->looked) {
                say_own(events, newsworthy[i].what, newsworthy[i].text);
                events->said_ms[i] = now;
            }
            events->was[i] = value;
        }
        events->looked = true;
    }
}

void fleet_events_leave(struct fleet_events *events)
{
    if (!events->leaving) {
        events->leaving = true;
        claim(events);
        say_own(events, "left", "leaves in order");
    }
}

/* ------------------------------------------------------------------------------------ life */

struct fleet_events *fleet_events_new(const struct fleet_events_options *options)
{
    struct fleet_events *events = mem_zalloc(sizeof(*events));
    events->options = *options;
    events->history = history_watch(options->store, EVENTS, on_history, events);
    events->presence = roster_watch(options->store, PRESENCE, on_presence, events);
    claim(events);
    return events;
}

void fleet_events_free(struct fleet_events **events)
{
    struct fleet_events *gone = *events;
    if (gone == NULL) {
        return;
    }
    *events = NULL;
    history_unwatch(&gone->history);
    roster_unwatch(&gone->presence);
    while (gone->count > 0) {
        ring_remove(gone, gone->count - 1);
    }
    while (gone->missing_count > 0) {
        missing_remove(gone, gone->missing_count - 1);
    }
    buf_free(&gone->state);
    buf_free(&gone->store_lost);
    free(gone);
}
