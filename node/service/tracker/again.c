/* SPDX-License-Identifier: MIT */
/* A peer that was silent for longer than the expiry, such as a laptop that slept, and whose client does
 * not announce again when it hears that it expired: within the grace time it gets the share id that it
 * had, which others may have written down.
 *
 *     get g: --> add s: (or see that it is still ours) --> add a: --> answered as if it had never been gone
 */
#include "node/service/tracker/impl.h"

#include "store/base/clock.h"

enum { RENEWED_ONE_IN = 4 }; /* requests of a peer that is known: the grace time is long */

static struct span past_key(struct tracker *tracker, const struct tracker_call *call)
{
    return tracker_address_key(tracker->key, 'g', &call->path.peer);
}

static void keep(struct tracker *tracker, const struct tracker_call *call, struct span record)
{
    uint64_t life = (uint64_t)tracker->options.expiry_ms + tracker->options.grace_ms;
    /* Lost on its way, the peer is only forgotten sooner. */
    (void)lookup_put(tracker->options.store, past_key(tracker, call), record, life, NULL);
}

void tracker_again_remember(struct tracker *tracker, const struct tracker_call *call)
{
    char text[RECORD_MOST];
    if (tracker->options.grace_ms > 0) {
        keep(tracker, call, tracker_wanted_record(tracker, call, text));
    }
}

void tracker_again_renew(struct tracker *tracker, const struct tracker_call *call)
{
    if (tracker->options.grace_ms > 0 && clock_monotonic_us() % RENEWED_ONE_IN == 0) {
        char text[RECORD_MOST];
        /* Not as it was found: this request may have changed it. */
        keep(tracker, call, tracker_wanted_record(tracker, call, text));
    }
}

static void on_back(struct tracker *tracker, struct tracker_call *call, enum lookup_result result,
                    struct span value)
{
    (void)value;
    if (result == LOOKUP_LOST) {
        tracker_end_lost(tracker, call);
        return;
    }
    /* Where the record is there, another request of the same peer came in between. */
    metrics_add(tracker->metrics, METRIC_TRACKER_RETURNED, result == LOOKUP_DONE ? 1 : 0);
    tracker_end_asker(tracker, call);
}

static void put_back(struct tracker *tracker, struct tracker_call *call)
{
    char text[RECORD_MOST], key[KEY_MOST];
    struct lookup_then then = tracker_then(tracker, call);
    tracker_go_on(
        tracker, call, on_back,
        lookup_add(tracker->options.store, tracker_address_key(key, 'a', &call->path.peer),
                   tracker_wanted_record(tracker, call, text), tracker->options.expiry_ms, &then));
}

static void on_owner(struct tracker *tracker, struct tracker_call *call, enum lookup_result result,
                     struct span value)
{
    struct address owner;
    if (result == LOOKUP_LOST) {
        tracker_end_lost(tracker, call);
    } else if (result == LOOKUP_DONE && tracker_address_unpack(value, &owner) == 0 &&
               address_eq(&owner, &call->path.peer)) {
        put_back(tracker, call);
    } else {
        call->record_len = 0;
        tracker_end_unknown(tracker, call); /* another peer has the id by now */
    }
}

static void on_claimed(struct tracker *tracker, struct tracker_call *call,
                       enum lookup_result result, struct span value)
{
    (void)value;
    if (result == LOOKUP_DONE) {
        put_back(tracker, call);
    } else if (result == LOOKUP_LOST) {
        tracker_end_lost(tracker, call);
    } else {
        struct lookup_then then = tracker_then(tracker, call);
        const char *id = tracker_own_record(call).id.ptr;
        tracker_go_on(tracker, call, on_owner,
                      lookup_get(tracker->options.store, tracker_id_key(tracker->key, id), &then));
    }
}

static void claim_id(struct tracker *tracker, struct tracker_call *call)
{
    unsigned char address[ADDRESS_BYTES];
    struct lookup_then then = tracker_then(tracker, call);
    const char *id = tracker_own_record(call).id.ptr;
    tracker_address_pack(&call->path.peer, address);
    tracker_go_on(tracker, call, on_claimed,
                  lookup_add(tracker->options.store, tracker_id_key(tracker->key, id),
                             span_of(address, sizeof(address)),
                             (uint64_t)tracker->options.expiry_ms * 2, &then));
}

static void on_past(struct tracker *tracker, struct tracker_call *call, enum lookup_result result,
                    struct span value)
{
    if (result == LOOKUP_LOST) {
        tracker_end_lost(tracker, call);
    } else if (result == LOOKUP_DONE && tracker_keep_record(call, value)) {
        claim_id(tracker, call);
    } else {
        tracker_end_unknown(tracker, call);
    }
}

void tracker_again_find(struct tracker *tracker, struct tracker_call *call)
{
    struct lookup_then then = tracker_then(tracker, call);
    if (tracker->options.grace_ms == 0) {
        tracker_end_unknown(tracker, call);
        return;
    }
    tracker_go_on(tracker, call, on_past,
                  lookup_get(tracker->options.store, past_key(tracker, call), &then));
}
