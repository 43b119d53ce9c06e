/* SPDX-License-Identifier: MIT */
/* tracker record: what the store holds of a peer, as bytes: its address, its record, its share id.
 * */
#ifndef MUSTER_NODE_SERVICE_TRACKER_RECORD_H
#define MUSTER_NODE_SERVICE_TRACKER_RECORD_H

#include "node/service/tracker/message.h"

enum {
    ADDRESS_BYTES = 18, /* IP and port, as a key, a value and on the bus */
    RECORD_MOST = 256,  /* share id, node name (64), dialect and address, what is told (100) */
    KEY_MOST = 32,      /* of a key in the store */
    ENTROPY = 256,
};

/* Keys of the store: "tracker:a:" and the like, then an address or a share id; written to `key`. */
struct span tracker_address_key(char key[static KEY_MOST], char kind,
                                const struct address *address);
struct span tracker_id_key(char key[static KEY_MOST], const char *share_id);

void tracker_address_pack(const struct address *address, unsigned char out[static ADDRESS_BYTES]);

/* 0, or -1 when it is none. */
int tracker_address_unpack(struct span bytes, struct address *address);

/* "<share id> <node> <dialect><here> <told>", as in "QpWCrBu5 vm-5b1ce0a3 s192.0.2.7:3001 ";
 * spans are borrowed. */
struct tracker_record {
    struct span id;
    struct span node;             /* that the peer last talked to */
    enum tracker_dialect dialect; /* in which it did */
    struct address here;          /* and to which address of that node */
    struct span told;             /* to others in place of its address; empty: the address */
};

/* false: it is none that this version knows. */
bool tracker_record_read(struct span text, struct tracker_record *record);

/* Writes it to `out`, which the answer borrows. */
struct span tracker_record_print(const struct tracker_record *record, char out[static RECORD_MOST]);

/* What others are told of the peer at `address`; borrowed from the record or from `text`. */
struct span tracker_record_told(const struct tracker_record *record, const struct address *address,
                                char text[static ADDRESS_TEXT]);

/* Where share ids come from: the system's random source, some at a time. */
struct tracker_ids {
    unsigned char entropy[ENTROPY];
    uint32_t used;
};

void tracker_ids_init(struct tracker_ids *ids);

/* Eight of 62 letters and digits, each as likely as the other. */
void tracker_ids_choose(struct tracker_ids *ids, char out[static TRACKER_SHARE_ID]);

#endif
