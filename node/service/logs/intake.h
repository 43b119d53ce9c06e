/* SPDX-License-Identifier: MIT */
/* logs intake: a request's body, in the forms that people ship logs in, becomes a batch.
 *
 *     content coding -> form (JSON, lines of JSON, lines of text, a form, protobuf) -> shape (an entry, a
 *     list, a wrapper of Loki, OTLP or Serilog) -> entry -> batch */
#ifndef MUSTER_NODE_SERVICE_LOGS_INTAKE_H
#define MUSTER_NODE_SERVICE_LOGS_INTAKE_H

#include "node/service/logs/batch.h"
#include "node/service/logs/shapes.h"

enum logs_verdict { LOGS_GOOD, LOGS_BAD, LOGS_TOO_LARGE, LOGS_UNSUPPORTED };

struct logs_body {
    struct span type;   /* Content-Type; ptr NULL: none */
    struct span coding; /* Content-Encoding; ptr NULL: none */
    struct span bytes;
    size_t limit;           /* bytes, decoded */
    enum logs_shape binary; /* what a protobuf body is; LOGS_SHAPE_ENTRY: none is taken here */
};

/* Reads the entries of a body into `batch`, whose first fields are set. Not LOGS_GOOD: nothing of it
 * is to be stored, and `error` has a text for the sender. LOGS_GOOD: those that are too large were
 * left out; where that leaves none it is LOGS_TOO_LARGE. */
enum logs_verdict logs_intake_read(struct logs_batch *batch, const struct logs_body *body,
                                   char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* Is that the Content-Type of protobuf? */
bool logs_is_protobuf(struct span type);

#endif
