/* SPDX-License-Identifier: MIT */
/* The steps of each request over the store.
 *
 *     announce   add s: --taken: another id--> put a: --> answer; the old id's s: goes
 *     pulse      touch a: --changed?--> swap a: --> answer --> touch s:, put back if it is missing
 *     alive      the same
 *     push       get s: --> get a: --> answer       (sobani: get a: of the asking peer before) */
#include "node/service/tracker/impl.h"

#include "store/base/clock.h"

enum {
    TRACKER_FLOW_TRIES_MOST = 8, /* share ids that cannot be had, or swaps that came too late */
    IDS_MOST = 32,               /* until one lives on a server that can be reached */
};

static const struct span nothing = {NULL, 0};

/* ------------------------------------------------------------------------------------ keys */

static struct span address_key(struct tracker *tracker, const struct address *address)
{
    struct span head = SPAN("tracker:a:");
    memcpy(tracker->key, head.ptr, head.len);
    tracker_address_pack(address, (unsigned char *)tracker->key + head.len);
    return span_of(tracker->key, head.len + ADDRESS_BYTES);
}

static struct span id_key(struct tracker *tracker, const char *share_id)
{
    struct span head = SPAN("tracker:s:");
    memcpy(tracker->key, head.ptr, head.len);
    memcpy(tracker->key + head.len, share_id, TRACKER_SHARE_ID);
    return span_of(tracker->key, head.len + TRACKER_SHARE_ID);
}

static uint64_t address_life(const struct tracker *tracker)
{
    return tracker->options.expiry_ms;
}

/* Twice: a renewal that is lost on its way costs nothing. */
static uint64_t id_life(const struct tracker *tracker)
{
    return (uint64_t)tracker->options.expiry_ms * 2;
}

/* ------------------------------------------------------------------------------------ records */

static struct span record_text(const struct tracker_call *call)
{
    return span_of(call->record, call->record_len);
}

/* Keeps the asker's record. false: it is none that this version knows. */
static bool keep_record(struct tracker_call *call, struct span text)
{
    struct tracker_record record;
    if (text.len > RECORD_MOST || !tracker_record_read(text, &record)) {
        return false;
    }
    memmove(call->record, text.ptr, text.len);
    call->record_len = (uint16_t)text.len;
    return true;
}

static struct tracker_record own_record(const struct tracker_call *call)
{
    struct tracker_record record = {nothing, nothing, nothing};
    tracker_record_read(record_text(call), &record);
    return record;
}

/* What the record shall be after this request. */
static struct span wanted_record(const struct tracker *tracker, const struct tracker_call *call,
                                 char out[RECORD_MOST])
{
    struct tracker_record record = own_record(call);
    record.node = span_str(tracker->options.node);
    if (call->fresh_put) {
        record.id = span_of(call->fresh, TRACKER_SHARE_ID);
    }
    if (call->asked.override) {
        record.told = span_of(call->asked.told, call->asked.told_len);
    }
    return tracker_record_print(&record, out);
}

/* ------------------------------------------------------------------------------------ ends */

static void end_with_error(struct tracker *tracker, struct tracker_call *call,
                           enum tracker_status status, const char *error)
{
    if (call->asked.action == TRACKER_PULSE) {
        tracker_print_pulsed(status, false, nothing, error, &tracker->out);
    } else {
        tracker_print_error(tracker->options.dialect, call->asked.action, error, &tracker->out);
    }
    tracker_reply(tracker, call);
    tracker_call_close(tracker, call);
}

static void end_lost(struct tracker *tracker, struct tracker_call *call)
{
    metrics_add(tracker->metrics, METRIC_TRACKER_STORE_FAILURES, 1);
    end_with_error(tracker, call, TRACKER_NO_STORE, "store unavailable");
}

static void end_unknown_id(struct tracker *tracker, struct tracker_call *call)
{
    metrics_add(tracker->metrics, METRIC_TRACKER_UNKNOWN, 1);
    end_with_error(tracker, call, TRACKER_OK, "unknown shareId");
}

/* The store's answer goes to `step`; `sent` is what the lookup call returned. */
static void go_on(struct tracker *tracker, struct tracker_call *call, tracker_step *step, int sent)
{
    call->step = step;
    if (sent != 0) {
        end_lost(tracker, call);
    }
}

/* ------------------------------------------------------------------------------------ the asker */

static void add_id(struct tracker *tracker, struct tracker_call *call);
static void find_target(struct tracker *tracker, struct tracker_call *call);

static void print_pulsed(struct tracker *tracker, const struct tracker_call *call)
{
    bool wrong = call->asked.wrong != NULL;
    struct span id = call->fresh_put ? span_of(call->fresh, TRACKER_SHARE_ID) : nothing;
    tracker_print_pulsed(wrong ? TRACKER_BAD_OVERRIDE : TRACKER_OK, call->asked.override, id,
                         call->asked.wrong, &tracker->out);
}

static void answer_asker(struct tracker *tracker, const struct tracker_call *call)
{
    switch (call->asked.action) {
    case TRACKER_ANNOUNCE:
        tracker_print_announced(tracker->options.dialect, span_of(call->fresh, TRACKER_SHARE_ID),
                                &tracker->out);
        break;
    case TRACKER_PULSE:
        print_pulsed(tracker, call);
        break;
    case TRACKER_ALIVE:
        tracker_print_alived(&tracker->out);
        break;
    case TRACKER_PUSH:
        return; /* what it asks for comes later */
    }
    tracker_reply(tracker, call);
}

/* The way to the record is lost while the record lives: its server came back empty, or renewals
 * were lost. It never leads elsewhere, so adding it is always right. */
static void on_id_renewed(struct tracker *tracker, struct tracker_call *call,
                          enum lookup_result result, struct span value)
{
    unsigned char address[ADDRESS_BYTES];
    (void)value;
    if (result == LOOKUP_ABSENT) {
        tracker_address_pack(&call->peer, address);
        (void)lookup_add(tracker->options.store, id_key(tracker, own_record(call).id.ptr),
                         span_of(address, sizeof(address)), id_life(tracker), NULL);
    }
    tracker_call_close(tracker, call);
}

/* The asker's record is as it shall be. */
static void end_asker(struct tracker *tracker, struct tracker_call *call)
{
    tracker_peers_saw(tracker->peers, &call->peer, clock_monotonic_ms());
    answer_asker(tracker, call);
    if (call->asked.action == TRACKER_PUSH) {
        find_target(tracker, call);
    } else if (call->fresh_put) {
        tracker_call_close(tracker, call);
    } else {
        struct lookup_then then = tracker_then(tracker, call);
        call->step = on_id_renewed;
        if (lookup_touch(tracker->options.store, id_key(tracker, own_record(call).id.ptr),
                         id_life(tracker), &then) != 0) {
            tracker_call_close(tracker, call);
        }
    }
}

static void forget_id(struct tracker *tracker, struct span old_record)
{
    struct tracker_record old;
    if (tracker_record_read(old_record, &old)) {
        /* Lost on its way it runs out by itself. */
        (void)lookup_delete(tracker->options.store, id_key(tracker, old.id.ptr), NULL);
    }
}

static void on_put(struct tracker *tracker, struct tracker_call *call, enum lookup_result result,
                   struct span value)
{
    if (result != LOOKUP_DONE) {
        end_lost(tracker, call);
        return;
    }
    forget_id(tracker, value);
    end_asker(tracker, call);
}

/* A new record, whatever was there. */
static void put_record(struct tracker *tracker, struct tracker_call *call)
{
    char text[RECORD_MOST];
    struct lookup_then then = tracker_then(tracker, call);
    call->record_len = 0;
    go_on(tracker, call, on_put,
          lookup_put(tracker->options.store, address_key(tracker, &call->peer),
                     wanted_record(tracker, call, text), address_life(tracker), &then));
}

static void end_unknown(struct tracker *tracker, struct tracker_call *call)
{
    if (call->asked.action != TRACKER_PULSE) {
        tracker_print_expired(&tracker->out);
        tracker_reply(tracker, call);
        tracker_call_close(tracker, call);
    } else if (call->fresh_put) {
        put_record(tracker, call);
    } else if (call->asked.new_id) {
        add_id(tracker, call);
    } else {
        end_with_error(tracker, call, TRACKER_UNKNOWN_PEER, "unknown peer");
    }
}

static void settle(struct tracker *tracker, struct tracker_call *call);

static void on_swapped(struct tracker *tracker, struct tracker_call *call,
                       enum lookup_result result, struct span value)
{
    switch (result) {
    case LOOKUP_DONE:
        if (call->fresh_put) {
            forget_id(tracker, record_text(call));
        }
        end_asker(tracker, call);
        break;
    case LOOKUP_TAKEN: /* another request of the same peer came in between */
        if (++call->tries < TRACKER_FLOW_TRIES_MOST && keep_record(call, value)) {
            settle(tracker, call);
        } else {
            end_lost(tracker, call);
        }
        break;
    case LOOKUP_ABSENT:
        call->record_len = 0;
        end_unknown(tracker, call);
        break;
    case LOOKUP_LOST:
        end_lost(tracker, call);
        break;
    }
}

/* Makes the asker's record, which is known, what it shall be. Mostly it is. */
static void settle(struct tracker *tracker, struct tracker_call *call)
{
    char text[RECORD_MOST];
    if (call->asked.new_id && !call->fresh_put) {
        add_id(tracker, call);
        return;
    }
    struct span wanted = wanted_record(tracker, call, text);
    if (span_eq(wanted, record_text(call))) {
        end_asker(tracker, call);
        return;
    }
    struct lookup_then then = tracker_then(tracker, call);
    uint64_t life = call->asked.action == TRACKER_PUSH ? 0 : address_life(tracker);
    go_on(tracker, call, on_swapped,
          lookup_swap(tracker->options.store, address_key(tracker, &call->peer), record_text(call),
                      wanted, life, &then));
}

static void on_asker(struct tracker *tracker, struct tracker_call *call, enum lookup_result result,
                     struct span value)
{
    if (result == LOOKUP_LOST) {
        end_lost(tracker, call);
    } else if (result == LOOKUP_DONE && keep_record(call, value)) {
        settle(tracker, call);
    } else {
        end_unknown(tracker, call);
    }
}

static void on_added(struct tracker *tracker, struct tracker_call *call, enum lookup_result result,
                     struct span value)
{
    (void)value;
    if (result != LOOKUP_DONE && ++call->tries < TRACKER_FLOW_TRIES_MOST) {
        add_id(tracker, call);
    } else if (result != LOOKUP_DONE) {
        end_lost(tracker, call);
    } else {
        call->fresh_put = true;
        if (call->record_len > 0) {
            settle(tracker, call);
        } else {
            put_record(tracker, call);
        }
    }
}

/* A share id that no peer has: the peer that adds it first has it. Where the server of one id
 * cannot be reached, that of another may be. */
static void add_id(struct tracker *tracker, struct tracker_call *call)
{
    unsigned char address[ADDRESS_BYTES];
    struct lookup_then then = tracker_then(tracker, call);
    int sent = -1;
    tracker_address_pack(&call->peer, address);
    for (int i = 0; i < IDS_MOST && sent != 0; i++) {
        tracker_ids_choose(&tracker->ids, call->fresh);
        sent = lookup_add(tracker->options.store, id_key(tracker, call->fresh),
                          span_of(address, sizeof(address)), id_life(tracker), &then);
    }
    go_on(tracker, call, on_added, sent);
}

/* ----------------------------------------------------------------------------------- the target */

/* Tells the target of the asker, from the node that the target last talked to. */
static void send_income(struct tracker *tracker, const struct tracker_call *call, struct span node)
{
    char text[ADDRESS_TEXT];
    struct tracker_record asker = own_record(call);
    tracker_print_income(tracker_record_told(&asker, &call->peer, text), asker.id, &tracker->out);
    tracker_send_from(tracker, node, &call->target);
}

static void on_target(struct tracker *tracker, struct tracker_call *call, enum lookup_result result,
                      struct span value)
{
    char text[ADDRESS_TEXT];
    struct tracker_record target;
    struct span id = span_of(call->asked.share_id, TRACKER_SHARE_ID);
    if (result == LOOKUP_LOST) {
        end_lost(tracker, call);
        return;
    }
    if (result != LOOKUP_DONE || !tracker_record_read(value, &target) || !span_eq(target.id, id)) {
        end_unknown_id(tracker, call);
        return;
    }
    tracker_print_pushed(tracker->options.dialect,
                         tracker_record_told(&target, &call->target, text), id, &tracker->out);
    tracker_reply(tracker, call);
    if (tracker->options.dialect == TRACKER_SOBANI) {
        send_income(tracker, call, target.node);
    }
    tracker_call_close(tracker, call);
}

static void on_id(struct tracker *tracker, struct tracker_call *call, enum lookup_result result,
                  struct span value)
{
    if (result == LOOKUP_LOST) {
        end_lost(tracker, call);
    } else if (result != LOOKUP_DONE || tracker_address_unpack(value, &call->target) != 0) {
        end_unknown_id(tracker, call);
    } else {
        struct lookup_then then = tracker_then(tracker, call);
        go_on(tracker, call, on_target,
              lookup_get(tracker->options.store, address_key(tracker, &call->target), &then));
    }
}

static void find_target(struct tracker *tracker, struct tracker_call *call)
{
    struct lookup_then then = tracker_then(tracker, call);
    if (call->asked.wrong != NULL) {
        end_with_error(tracker, call, TRACKER_OK, call->asked.wrong);
        return;
    }
    go_on(tracker, call, on_id,
          lookup_get(tracker->options.store, id_key(tracker, call->asked.share_id), &then));
}

/* ------------------------------------------------------------------------------------ start */

void tracker_call_start(struct tracker *tracker, struct tracker_call *call)
{
    struct store *store = tracker->options.store;
    struct lookup_then then = tracker_then(tracker, call);
    switch (call->asked.action) {
    case TRACKER_ANNOUNCE:
        add_id(tracker, call);
        break;
    case TRACKER_PULSE:
    case TRACKER_ALIVE:
        go_on(tracker, call, on_asker,
              lookup_touch(store, address_key(tracker, &call->peer), address_life(tracker), &then));
        break;
    case TRACKER_PUSH:
        if (tracker->options.dialect == TRACKER_DOCUMENTED) {
            find_target(tracker, call);
        } else {
            go_on(tracker, call, on_asker,
                  lookup_get(store, address_key(tracker, &call->peer), &then));
        }
        break;
    }
}
