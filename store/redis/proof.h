/* SPDX-License-Identifier: MIT */
/* redis proof: the small message that a link publishes over one of its connections and has to hear
 * over the other: whether the two belong together, and whether both live. */
#ifndef MUSTER_STORE_REDIS_PROOF_H
#define MUSTER_STORE_REDIS_PROOF_H

#include "store/redis/conn.h"

struct redis_proof {
    char *channel;      /* of this connection's own messages; NULL: none is made */
    int tag;            /* in a cluster: whose tag the channel has; -1: none */
    bool hearing;       /* the subscribed connection has it */
    bool proving;       /* a message was asked for besides, and has not come back */
    uint64_t asked_us;  /* the channel was asked for */
    uint64_t proved_us; /* the last message came back */
    uint64_t heard_us;  /* anything last came over the subscribed connection */
    uint64_t spoken_us; /* the server published one that has not come back since; 0: all have */
};

/* Makes a channel of its own, in a cluster with the tag of partition `tag`; nothing was said over it. */
void redis_proof_name(struct redis_proof *proof, const struct store *store, int tag);

/* The connections go: so does the channel. */
void redis_proof_forget(struct redis_proof *proof);

/* Has `conn` hear the channel; `sharded`: which belongs to a slot. */
void redis_proof_listen(struct redis_proof *proof, struct redis_conn *conn, bool sharded);

/* Publishes one with the time of now; `fn` gets the server's answer. */
void redis_proof_send(const struct redis_proof *proof, struct redis_conn *conn, bool sharded,
                      redis_reply_fn *fn, void *arg);

/* The server has published one at `now_us`. Its time runs from here: what it waited for before is the
 * server's other work, which the command connection answers for. */
void redis_proof_spoken(struct redis_proof *proof, uint64_t now_us);

/* One has come back; returns when it was sent. */
uint64_t redis_proof_back(struct redis_proof *proof, struct span payload);

/* This process stood still until `now_us`: nothing that is late counts. */
void redis_proof_excuse(struct redis_proof *proof, uint64_t now_us);

/* What the server published comes back within `limit_us`, or behind what else comes, but not for long: a
 * subscribed connection to another server may hear others, too. */
bool redis_proof_holds(const struct redis_proof *proof, uint64_t limit_us, uint64_t now_us);

#endif
