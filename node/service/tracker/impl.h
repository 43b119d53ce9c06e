/* SPDX-License-Identifier: MIT */
/* What the tracker's files share; no other file includes it.
 *
 *     datagram --tracker.c: limits, parse--> call --flow.c: steps over the store--> answer
 *                                             |  again.c: a peer that was away too long
 *                                             |  forward.c: share ids of an older tracker
 *
 * A peer is two keys of the lookup, and a third that remembers it when these are gone:
 *
 *     tracker:a:<address>    record (record.h)    lives for one expiry
 *     tracker:s:<share id>   <address>            lives for two
 *     tracker:g:<address>    record               lives for the grace time longer than the first
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

struct tracker_call;
struct tracker_forward;

/* One of the addresses that peers talk to. */
struct tracker_socket {
    struct list entry;
    struct tracker *tracker;
    struct udp *udp;
    enum tracker_dialect dialect;
};

typedef void tracker_step(struct tracker *tracker, struct tracker_call *call,
                          enum lookup_result result, struct span value);

/* One request under way. They live in a table and are named by index and generation. */
struct tracker_call {
    uint32_t generation;
    uint32_t next_free;
    tracker_step *step; /* what the store's next answer is for; NULL: free */
    struct tracker_socket *from;
    struct udp_path path;
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
    struct list sockets;             /* struct tracker_socket */
    bool sobani;                     /* one of them at least speaks it: there are incomes */
    struct tracker_forward *forward; /* NULL: none */
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
/* Sends what is in tracker->out to `peer` from where it last talked to, as its record says: this node,
 * one at its place, or another one. */
void tracker_send_from(struct tracker *tracker, const struct tracker_record *record,
                       const struct address *peer);
void tracker_call_close(struct tracker *tracker, struct tracker_call *call);

/* flow.c */
void tracker_call_start(struct tracker *tracker, struct tracker_call *call);
/* The store's answer goes to `step`; `sent` is what the lookup call returned. */
void tracker_go_on(struct tracker *tracker, struct tracker_call *call, tracker_step *step,
                   int sent);
/* Keeps the asker's record. false: it is none that this version knows. */
bool tracker_keep_record(struct tracker_call *call, struct span text);
/* What the record shall be after this request, in `out`. */
struct span tracker_wanted_record(const struct tracker *tracker, const struct tracker_call *call,
                                  char out[RECORD_MOST]);
struct tracker_record tracker_own_record(const struct tracker_call *call);
/* The asker's record is as it shall be: answers. */
void tracker_end_asker(struct tracker *tracker, struct tracker_call *call);
void tracker_end_lost(struct tracker *tracker, struct tracker_call *call);
/* Nobody knows the asker. */
void tracker_end_unknown(struct tracker *tracker, struct tracker_call *call);
/* Nobody has the share id that was asked for. */
void tracker_end_unknown_id(struct tracker *tracker, struct tracker_call *call);
/* The share id that was asked for is at `address`, as text. */
void tracker_end_pushed(struct tracker *tracker, struct tracker_call *call, struct span address);

/* again.c */
/* Remembers the asker's record, which has just become what it shall be. */
void tracker_again_remember(struct tracker *tracker, const struct tracker_call *call);
/* The same for one that has not changed: often enough, not each time. */
void tracker_again_renew(struct tracker *tracker, const struct tracker_call *call);
/* The asker's record is gone: gives it back if it is remembered, else answers that it is unknown. */
void tracker_again_find(struct tracker *tracker, struct tracker_call *call);

/* forward.c */
/* Is it "host:port"? 0, or -1 with a message that begins with the setting's name. */
int tracker_forward_check(const char *host_port, char *error, size_t error_size)
    __attribute__((warn_unused_result));
/* New, or NULL with a message in `error`. */
struct tracker_forward *tracker_forward_new(struct tracker *tracker, const char *host_port,
                                            char *error, size_t error_size)
    __attribute__((warn_unused_result));
void tracker_forward_free(struct tracker_forward **forward);
/* Asks the older tracker for the share id that `call` asks for, and ends the call when it has said
 * something, or nothing for a while. False: there is none, or too many wait for it. */
bool tracker_forward_ask(struct tracker *tracker, struct tracker_call *call);

#endif
