/* SPDX-License-Identifier: MIT */
/* logs shapes: JSON that wraps many entries, as the protocols of others do. */
#ifndef MUSTER_NODE_SERVICE_LOGS_SHAPES_H
#define MUSTER_NODE_SERVICE_LOGS_SHAPES_H

#include "node/service/logs/batch.h"

enum logs_shape {
    LOGS_SHAPE_ENTRY,
    LOGS_SHAPE_EVENTS, /* Serilog's HTTP sink: {"events":[...]} */
    LOGS_SHAPE_LOKI, /* Loki's push API: {"streams":[{"stream":{...},"values":[[ns,line],...]}]} */
    LOGS_SHAPE_OTLP, /* OTLP/HTTP, JSON (opentelemetry-proto logs.proto): {"resourceLogs":[...]} */
};

/* What the valid JSON object is, by its first member. */
enum logs_shape logs_shape_of(struct span object);

/* Adds the entries of a wrapper; false: there are more than LOGS_BATCH_MOST. What does not have the
 * shape's form is passed over. */
bool logs_shape_read(struct logs_batch *batch, enum logs_shape shape, struct span object)
    __attribute__((warn_unused_result));

#endif
