/* SPDX-License-Identifier: MIT */
/* tracker message: the words of the peer tracker (docs/protocols.md#tracker): datagrams to requests, answers
 * to datagrams. No I/O, no state. */
#ifndef MUSTER_NODE_SERVICE_TRACKER_MESSAGE_H
#define MUSTER_NODE_SERVICE_TRACKER_MESSAGE_H

#include "node/net/address.h"
#include "store/base/buf.h"

enum tracker_action { TRACKER_ANNOUNCE, TRACKER_PULSE, TRACKER_ALIVE, TRACKER_PUSH };

/* Requests are the same in both; answers have other names, and push tells both sides in one. */
enum tracker_dialect { TRACKER_DOCUMENTED, TRACKER_SOBANI };

/* "status" of a pulse: "0" or why it did not work. */
enum tracker_status {
    TRACKER_OK,
    TRACKER_UNKNOWN_PEER,
    TRACKER_BAD_OVERRIDE,
    TRACKER_NO_STORE,
};

enum {
    TRACKER_SHARE_ID = 8, /* letters and digits */
    TRACKER_TOLD_MOST =
        100 /* bytes of an override as JSON without its quotes: keeps answers small */
};

struct tracker_request {
    enum tracker_action action;
    bool new_id;                     /* pulse: wants another share id */
    bool override;                   /* pulse: wants others told something else */
    const char *wrong;               /* with it, or with the share id: text, or NULL */
    char share_id[TRACKER_SHARE_ID]; /* push: the peer that it asks for */
    char told[TRACKER_TOLD_MOST]; /* what others shall be told, when `override` and nothing wrong */
    uint8_t told_len;
};

enum tracker_parsed { TRACKER_PARSED, TRACKER_NOT_JSON, TRACKER_NO_ACTION };

/* Reads a datagram that came from `peer`. Only what is TRACKER_PARSED gets an answer. */
enum tracker_parsed tracker_parse(struct span datagram, const struct address *peer,
                                  struct tracker_request *request);

/* What another tracker, of either dialect, answered. */
enum tracker_says {
    TRACKER_SAYS_ELSE,      /* nothing that matters here, or no JSON */
    TRACKER_SAYS_ADDRESS,   /* of the peer that was asked for */
    TRACKER_SAYS_NOBODY,    /* has the share id that was asked for */
    TRACKER_SAYS_ANNOUNCED, /* the peer that asks is known now */
    TRACKER_SAYS_EXPIRED,   /* the peer that asks is not known */
};

/* Reads such an answer; the peer's address is appended to `address`, at most TRACKER_TOLD_MOST bytes
 * as JSON. */
enum tracker_says tracker_parse_answer(struct span datagram, struct buf *address);

/* Each appends one datagram. Spans may be any bytes. */

/* Requests, for another tracker. */
void tracker_print_announce(struct buf *out);
void tracker_print_push(struct span share_id, struct buf *out);

void tracker_print_announced(enum tracker_dialect dialect, struct span share_id, struct buf *out);
/* `share_id` is empty unless a new one was asked for; `error` is NULL when all is well. */
void tracker_print_pulsed(enum tracker_status status, bool replaced, struct span share_id,
                          const char *error, struct buf *out);
void tracker_print_alived(struct buf *out);
void tracker_print_expired(struct buf *out);
void tracker_print_pushed(enum tracker_dialect dialect, struct span address, struct span share_id,
                          struct buf *out);
void tracker_print_income(struct span address, struct span share_id, struct buf *out);
/* The answer of any action but pulse, with an error and nothing else. */
void tracker_print_error(enum tracker_dialect dialect, enum tracker_action action,
                         const char *error, struct buf *out);

#endif
