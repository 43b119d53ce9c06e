/* SPDX-License-Identifier: MIT */
/* The steps of each request over the store.
 *
 *     announce   add s: --taken: another id--> put a: --> answer; the old id's s: goes
 *     pulse      touch a: --changed?--> swap a: --> answer --> touch s:, put back if it is missing
 *     alive      the same
 *     push       get s: --> get a: --> answer       (where there are incomes: a: of the asker before)
 *
 * One whose record is gone is looked for once more (again.c), a share id that nobody has at the older
 * tracker (forward.c). */
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
    return tracker_address_key(tracker->key, 'a', address);
}

static struct span id_key(struct tracker *tracker, const char *share_id)
{
    return tracker_id_key(tracker->key, share_id);
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

bool tracker_keep_record(struct tracker_call *call, struct span text)
{
    struct tracker_record record;
    if (text.len > RECORD_MOST || !tracker_record_read(text, &record)) {
        return false;
    }
    memmove(call->record, text.ptr, text.len);
    call->record_len = (uint16_t)text.len;
    return true;
}

struct tracker_record tracker_own_record(const struct tracker_call *call)
{
    struct tracker_record record = {0};
    tracker_record_read(record_text(call), &record);
    return record;
}

struct span tracker_wanted_record(const struct tracker *tracker, const struct tracker_call *call,
                                  char out[RECORD_MOST])
{
    struct tracker_record record = tracker_own_record(call);
    record.node = span_str(tracker->options.node);
    record.dialect = call->from->dialect;
    record.here = call->path.here;
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
        tracker_print_error(call->from->dialect, call->asked.action, error, &tracker->out);
    }
    tracker_reply(tracker, call);
    tracker_call_close(tracker, call);
}

void tracker_end_lost(struct tracker *tracker, struct tracker_call *call)
{
    metrics_add(tracker->metrics, METRIC_TRACKER_STORE_FAILURES, 1);
    end_with_error(tracker, call, TRACKER_NO_STORE, "store unavailable");
}

void tracker_end_unknown_id(struct tracker *tracker, struct tracker_call *call)
{
    metrics_add(tracker->metrics, METRIC_TRACKER_UNKNOWN, 1);
    end_with_error(tracker, call, TRACKER_OK, "unknown shareId");
}

void tracker_go_on(struct tracker *tracker, struct tracker_call *call, tracker_step *step, int sent)
{
    call->step = step;
    if (sent != 0) {
        tracker_end_lost(tracker, call);
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
        tracker_print_announced(call->from->dialect, span_of(call->fresh, TRACKER_SHARE_ID),
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
        tracker_address_pack(&call->path.peer, address);
        (void)lookup_add(tracker->options.store, id_key(tracker, tracker_own_record(call).id.ptr),
                         span_of(address, sizeof(address)), id_life(tracker), NULL);
    }
    tracker_call_close(tracker, call);
}

void tracker_end_asker(struct tracker *tracker, struct tracker_call *call)
{
    tracker_peers_saw(tracker->peers, &call->path.peer, clock_monotonic_ms());
    answer_asker(tracker, call);
    if (call->asked.action == TRACKER_PUSH) {
        find_target(tracker, call);
    } else if (call->fresh_put) {
        tracker_call_close(tracker, call);
    } else {
        struct lookup_then then = tracker_then(tracker, call);
        tracker_again_renew(tracker, call);
        call->step = on_id_renewed;
        if (lookup_touch(tracker->options.store, id_key(tracker, tracker_own_record(call).id.ptr),
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
        tracker_end_lost(tracker, call);
        return;
    }
    forget_id(tracker, value);
    tracker_again_remember(tracker, call);
    tracker_end_asker(tracker, call);
}

/* A new record, whatever was there. */
static void put_record(struct tracker *tracker, struct tracker_call *call)
{
    char text[RECORD_MOST];
    struct lookup_then then = tracker_then(tracker, call);
    call->record_len = 0;
    tracker_go_on(tracker, call, on_put,
                  lookup_put(tracker->options.store, address_key(tracker, &call->path.peer),
                             tracker_wanted_record(tracker, call, text), address_life(tracker),
                             &then));
}

void tracker_end_unknown(struct tracker *tracker, struct tracker_call *call)
{
    if (call->asked.action == TRACKER_PULSE) {
        end_with_error(tracker, call, TRACKER_UNKNOWN_PEER, "unknown peer");
    } else {
        tracker_print_expired(&tracker->out);
        tracker_reply(tracker, call);
        tracker_call_close(tracker, call);
    }
}

static void on_unknown(struct tracker *tracker, struct tracker_call *call)
{
    if (call->fresh_put) {
        put_record(tracker, call);
    } else if (call->asked.action == TRACKER_PULSE && call->asked.new_id) {
        add_id(tracker, call);
    } else {
        tracker_again_find(tracker, call);
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
        tracker_again_remember(tracker, call);
        tracker_end_asker(tracker, call);
        break;
    case LOOKUP_TAKEN: /* another request of the same peer came in between */
        if (++call->tries < TRACKER_FLOW_TRIES_MOST && tracker_keep_record(call, value)) {
            settle(tracker, call);
        } else {
            tracker_end_lost(tracker, call);
        }
        break;
    case LOOKUP_ABSENT:
        call->record_len = 0;
        on_unknown(tracker, call);
        break;
    case LOOKUP_LOST:
        tracker_end_lost(tracker, call);
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
    struct span wanted = tracker_wanted_record(tracker, call, text);
    if (span_eq(wanted, record_text(call))) {
        tracker_end_asker(tracker, call);
        return;
    }
    struct lookup_then then = tracker_then(tracker, call);
    uint64_t life = call->asked.action == TRACKER_PUSH ? 0 : address_life(tracker);
    tracker_go_on(tracker, call, on_swapped,
                  lookup_swap(tracker->options.store, address_key(tracker, &call->path.peer),
                              record_text(call), wanted, life, &then));
}

static void on_asker(struct tracker *tracker, struct tracker_call *call, enum lookup_result result,
                     struct span value)
{
    if (result == LOOKUP_LOST) {
        tracker_end_lost(tracker, call);
    } else if (result == LOOKUP_DONE && tracker_keep_record(call, value)) {
        settle(tracker, call);
    } else {
        on_unknown(tracker, call);
    }
}

static void on_added(struct tracker *tracker, struct tracker_call *call, enum lookup_result result,
                     struct span value)
{
    (void)value;
    if (result != LOOKUP_DONE && ++call->tries < TRACKER_FLOW_TRIES_MOST) {
        add_id(tracker, call);
    } else if (result != LOOKUP_DONE) {
        tracker_end_lost(tracker, call);
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
    tracker_address_pack(&call->path.peer, address);
    for (int i = 0; i < IDS_MOST && sent != 0; i++) {
        tracker_ids_choose(&tracker->ids, call->fresh);
        sent = lookup_add(tracker->options.store, id_key(tracker, call->fresh),
                          span_of(address, sizeof(address)), id_life(tracker), &then);
    }
    tracker_go_on(tracker, call, on_added, sent);
}

/* ----------------------------------------------------------------------------------- the target */

/* Tells the target of the asker, from the address that the target last talked to. An asker that never
 * announced has no share id to tell. */
static void send_income(struct tracker *tracker, const struct tracker_call *call,
                        const struct tracker_record *target)
{
    char text[ADDRESS_TEXT];
    struct tracker_record asker = tracker_own_record(call);
    tracker_print_income(tracker_record_told(&asker, &call->path.peer, text), asker.id,
                         &tracker->out);
    tracker_send_from(tracker, target, &call->target);
}

static void print_pushed(struct tracker *tracker, const struct tracker_call *call,
                         struct span address)
{
    tracker_print_pushed(call->from->dialect, address,
                         span_of(call->asked.share_id, TRACKER_SHARE_ID), &tracker->out);
    tracker_reply(tracker, call);
}

void tracker_end_pushed(struct tracker *tracker, struct tracker_call *call, struct span address)
{
    print_pushed(tracker, call, address);
    tracker_call_close(tracker, call);
}

/* An older tracker may have it. */
static void on_unknown_id(struct tracker *tracker, struct tracker_call *call)
{
    if (!tracker_forward_ask(tracker, call)) {
        tracker_end_unknown_id(tracker, call);
    }
}

static void on_target(struct tracker *tracker, struct tracker_call *call, enum lookup_result result,
                      struct span value)
{
    char text[ADDRESS_TEXT];
    struct tracker_record target;
    struct span id = span_of(call->asked.share_id, TRACKER_SHARE_ID);
    if (result == LOOKUP_LOST) {
        tracker_end_lost(tracker, call);
        return;
    }
    if (result != LOOKUP_DONE || !tracker_record_read(value, &target) || !span_eq(target.id, id)) {
        on_unknown_id(tracker, call);
        return;
    }
    struct span told = tracker_record_told(&target, &call->target, text);
    print_pushed(tracker, call, told);
    if (target.dialect == TRACKER_SOBANI) {
        send_income(tracker, call, &target);
    }
    tracker_call_close(tracker, call);
}

static void on_id(struct tracker *tracker, struct tracker_call *call, enum lookup_result result,
                  struct span value)
{
    if (result == LOOKUP_LOST) {
        tracker_end_lost(tracker, call);
    } else if (result != LOOKUP_DONE || tracker_address_unpack(value, &call->target) != 0) {
        on_unknown_id(tracker, call);
    } else {
        struct lookup_then then = tracker_then(tracker, call);
        tracker_go_on(
            tracker, call, on_target,
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
    tracker_go_on(tracker, call, on_id,
                  lookup_get(tracker->options.store, id_key(tracker, call->asked.share_id), &then));
}

/* In the dialect in which no peer has to announce first, the asker is told of if it is known. */
static void on_anybody(struct tracker *tracker, struct tracker_call *call,
                       enum lookup_result result, struct span value)
{
    if (result == LOOKUP_DONE) {
        (void)tracker_keep_record(call, value);
    }
    find_target(tracker, call);
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
        tracker_go_on(tracker, call, on_asker,
                      lookup_touch(store, address_key(tracker, &call->path.peer),
                                   address_life(tracker), &then));
        break;
    case TRACKER_PUSH:
        if (tracker->sobani) {
            tracker_step *next = call->from->dialect == TRACKER_SOBANI ? on_asker : on_anybody;
            tracker_go_on(tracker, call, next,
                          lookup_get(store, address_key(tracker, &call->path.peer), &then));
        } else {
            find_target(tracker, call);
        }
        break;
    }
}
