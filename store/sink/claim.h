/* sink claim: which stream is stored under the sink's name in log_stream (claim.c has the story). */
#ifndef MUSTER_STORE_SINK_CLAIM_H
#define MUSTER_STORE_SINK_CLAIM_H

#include "store/stream_types.h"

struct sink;

struct sink_claim {
    char identity[STREAM_NAME]; /* ours; empty: none, or not known yet */
    /* What the server has, and says it had before; and what PostgreSQL was asked about. */
    char wanted[STREAM_NAME], was[STREAM_NAME], asked[STREAM_NAME];
    char seen[STREAM_NAME];     /* had by this server while this process ran */
    uint64_t ask_at_ms;
    char *refused; /* why it is not ours; NULL: it is, or it is not known yet */
};

/* The server has this stream. */
void sink_claim_note(struct sink *sink, const struct stream_head *head);

/* Asks whether it is ours, when it is time and the care session is idle. */
void sink_claim_step(struct sink *sink);
bool sink_claim_is_ours(const struct sink *sink, const struct stream_head *head);

#endif
