/* SPDX-License-Identifier: MIT */
/* What tracker.c and flow.c share; no other file includes it.
 *
 *     datagram --tracker.c: limits, parse--> call --flow.c: steps over the store--> answer
 *
 * A peer is two keys of the lookup:
 *
 *     tracker:a:<address>    "<share id> <node> <told>"    lives for one expiry
 *     tracker:s:<share id>   <address>                     lives for two
 *
 * The first is the truth: it is read, renewed and changed in one atomic step, with compare and
 * swap. The second only finds it, never changes, and counts for nothing unless the first names the
 * same share id. So a share id that was replaced or has run out is gone at once, whatever is left
 * of the second key, and it does not matter that the two are renewed one after the other. */
#ifndef MUSTER_NODE_SERVICE_TRACKER_IMPL_H
#define MUSTER_NODE_SERVICE_TRACKER_IMPL_H

#include "node/net/limit.h"
#include "node/net/udp.h"
#include "node/service/tracker/peers.h"
#include "node/service/tracker/record.h"
#include "node/service/tracker/tracker.h"
#include "store/bus.h"
#include "store/lookup.h"

enum {
    KEY_MOST = 32,
};

struct tracker_call;

typedef void tracker_step(struct tracker *tracker, struct tracker_call *call,
                          enum lookup_result result, struct span value);

/* One request under way. They live in a table and are named by index and generation. */
struct tracker_call {
    uint32_t generation;
    uint32_t next_free;
    tracker_step *step; /* what the store's next answer is for; NULL: free */
    struct address peer;
    uint32_t size; /* bytes of the datagram */
    struct tracker_request asked;
    uint8_t tries;
    bool fresh_put; /* `fresh` is ours, in the store */
    char fresh[TRACKER_SHARE_ID];
    struct address target; /* push: the peer asked for */
    uint16_t record_len;   /* the asker's record as last seen; 0: none */
    char record[RECORD_MOST];
};

struct tracker {
    struct tracker_options options;
    struct metrics *metrics;
    struct udp *udp;
    struct limit_table *rate;
    struct bus_sub *incomes; /* datagrams that other nodes want sent from here */
    struct tracker_call *calls;
    uint32_t call_count, first_free;
    struct tracker_ids ids;
    struct tracker_peers *peers; /* that were answered here lately */
    struct wheel_timer count_timer;
    char key[KEY_MOST];
    struct buf out;
};

/* tracker.c */
struct lookup_then tracker_then(struct tracker *tracker, const struct tracker_call *call);
/* Sends what is in tracker->out to the asker; never more than three times what it sent. */
void tracker_reply(struct tracker *tracker, const struct tracker_call *call);
/* Sends what is in tracker->out to `peer`, from the node of that name or one at its place. */
void tracker_send_from(struct tracker *tracker, struct span node, const struct address *peer);
void tracker_call_close(struct tracker *tracker, struct tracker_call *call);

/* flow.c */
void tracker_call_start(struct tracker *tracker, struct tracker_call *call);

#endif
