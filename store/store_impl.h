/* SPDX-License-Identifier: MIT */
/* The inside of `struct store`: what the words and the backends share of it. */
#ifndef MUSTER_STORE_STORE_IMPL_H
#define MUSTER_STORE_STORE_IMPL_H

#include "store/backend.h"
#include "store/base/buf.h"
#include "store/base/list.h"
#include "store/base/map.h"
#include "store/chore.h"
#include "store/list_change.h"
#include "store/roster/counts.h"
#include "store/roster/lease.h"
#include "store/store.h"
#include "store/stream_table.h"

struct shard {
    bool up;
    bool failed;                 /* lost, or not reached at the last try */
    bool moved;                  /* the next link is to another server than the last one */
    struct list asking, leaving; /* topics to subscribe and to unsubscribe at the turn's end */
    unsigned asked;              /* of these, sent and not answered */
    uint64_t links;              /* how many there have been; the number of the present one */
    struct map speakers;         /* bus_speaker.h */
    struct map ways;             /* struct bus_way, by node */
    struct bus_inbox *inbox;     /* NULL: not needed yet */
    uint32_t gaps;               /* how often its topics missed something, */
    uint32_t attended_gaps;      /* and those whose messages come by its inbox, beside that */
    struct roster_past past;
    struct list kept;     /* struct kept_push, the oldest first: of crowds whose roster is there */
    unsigned wire_shared; /* the newest form that all others there read; 0: nobody is known */
    unsigned wire_said;  /* what its roll has of this node as the form that it writes; 0: nothing */
    char *wire_text;     /* what they speak, for a person; NULL: nobody is known */
    char *refusal;       /* why it does not let this node in; NULL: it does, or was not asked */
    char *trouble;       /* why its link is down, as that said last; NULL: it is up */
    uint64_t refused_us; /* when it last refused something of the roster; 0: never */
    bool
        doubted; /* another server, whose keys live by the leases here, may lack what it was told */
    struct roster_lease lease; /* of this node there, and who else lives */
    struct lease_beat *beat;   /* the one under way, owned; NULL: none */
    uint64_t beat_us;          /* when the last one was sent */
    uint64_t leased_us;        /* until when this node may claim; 0: not before the next answer */
    uint64_t grace_us;         /* when the grace of its leases ends */
    struct list queue;         /* keys that wait to touch */
    unsigned touches;          /* under way */
};

enum {
    WHEEL_SLOTS = 256, /* parts of the refresh interval over which keys are spread */
};

struct roster_table {
    struct map keys;
    struct list wheel[WHEEL_SLOTS];
    uint64_t wheel_at; /* slots passed since wheel_start_us */
    uint64_t wheel_start_us;
    struct event *tick;
    struct list holding; /* keys whose view holds members of a lost server */
    bool ticking;        /* since the first key */
    unsigned ticks;
    struct list uneasy;  /* keys that a beat has to look at */
    struct list patient; /* keys whose claims wait for the next pulse of their leases' link */
    struct list expiring, looking,
        returning;         /* of holding, uneasy, and queues: to be gone through now */
    struct chore chore;    /* goes through these */
    struct sweep sweep;    /* over all keys */
    struct sweep releases; /* the same, that of their claims, when the store is about to go */
    size_t claims;         /* of all keys, with releases not answered yet */
};

struct history_table {
    struct map keys;
    struct event *tick; /* runs while something waits in a key */
};

struct store {
    struct event_base *base;
    char *prefix, *node;
    char *servers; /* the list of them, as they keep it; NULL: memory */
    struct store_change change;
    uint32_t lease_ms;
    struct wire_range wire; /* of messages and keys */
    unsigned wire_most;     /* the newest form that it says on rolls that it reads */
    unsigned wire_shared;   /* the newest that all on all rolls read, and this one, */
    unsigned wire_used; /* and that all rolls have: who comes and does not read it is not let in */
    bool visitor;
    unsigned replicas; /* 0: appends count when the server has them */
    struct store_observer observer;
    struct store_stats stats;
    struct backend *backend;
    struct shard *shards; /* backend->shards of them */

    struct list chores;
    struct event *turn;
    unsigned depth;          /* of store_enter */
    bool closing;            /* no callback any more */
    uint64_t unread_told_ms; /* monotonic; 0: never */

    struct map topics;
    struct sweep sweep;            /* over them */
    uint32_t attended[PARTITIONS]; /* how many of them come by inboxes, in each partition */
    struct list filled;            /* ways with something to send */
    struct event *parcels;         /* sends it */
    struct list crowds;            /* struct crowd */
    size_t kept_bytes;             /* of all crowds */
    struct event *prove;           /* pending while something is kept */
    struct roster_table roster;
    struct stream_tables stream;
    struct buf lookup_name;              /* of the key of the last lookup, with prefix */
    struct buf lookup_value, lookup_old; /* of the last lookup, each with its form */
    struct history_table history;

    bool releasing; /* store_release_all was called */
    struct event *release_limit;
    void (*release_done)(void *arg);
    void *release_arg;
};

/* The form to write in now: the newest one that all nodes read that this one knows of; and what is said of that
 * on rolls, which know of one more (STORE_WIRE_PARTS). */
unsigned store_wire_now(const struct store *store);
unsigned store_wire_on_rolls(const struct store *store);

/* What the roll of a server said: the newest form that all other nodes there read (0: there are none), and
 * a line of what they speak. */
void store_on_roll(struct store *store, unsigned shard, unsigned shared, const char *text);

/* The roll of a server has that this node writes that form. */
void store_on_said(struct store *store, unsigned shard, unsigned said);

/* A server does not let this node in, with a line for a person; NULL: it does. */
void store_on_refusal(struct store *store, unsigned shard, const char *text);

/* Why the link to a server is down, for a person; NULL: it is up. */
void store_note_trouble(struct store *store, unsigned shard, const char *text);

/* Appends the key in which something is kept for a shard, not for a name. */
void store_shard_key(const struct store *store, unsigned shard, const char *kind, struct buf *out);

/* Has the shard the server of one before it? */
bool store_is_named_before(const struct store *store, unsigned shard);

/* The server that a key or topic lives on: the same on every node; and that of a whole key, with its tag. */
unsigned store_shard(const struct store *store, struct span name);
unsigned store_key_shard(const struct store *store, struct span key);

#endif
