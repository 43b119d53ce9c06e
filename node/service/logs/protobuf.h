/* SPDX-License-Identifier: MIT */
/* logs protobuf: the binary form of two wrappers (shapes.h), written again as their JSON form:
 *
 *   - OTLP/HTTP: ExportLogsServiceRequest (opentelemetry-proto, logs_service.proto, logs.proto, common.proto)
 *   - Loki: PushRequest (its push.proto), compressed as one snappy block
 *
 * The wire is read step by step (nanopb), nothing is unpacked: a hostile body makes no object larger
 * than its JSON text, and values that lie in each other more than PROTOBUF_DEPTH deep become null. */
#ifndef MUSTER_NODE_SERVICE_LOGS_PROTOBUF_H
#define MUSTER_NODE_SERVICE_LOGS_PROTOBUF_H

#include "store/base/buf.h"

#include <stdbool.h>

/* Appends {"resourceLogs":[...]}, valid JSON. false: `bytes` is no such message. */
bool logs_protobuf_otlp(struct span bytes, struct buf *out) __attribute__((warn_unused_result));

/* Appends {"streams":[...]}, valid JSON. `bytes` is not compressed any more. */
bool logs_protobuf_loki(struct span bytes, struct buf *out) __attribute__((warn_unused_result));

/* An ExportLogsServiceResponse; with 0 refused it is empty (OTLP/HTTP, "Full Success"). */
void logs_protobuf_response(size_t refused, struct span why, struct buf *out);

/* A google.rpc.Status with this message (OTLP/HTTP, "Failures"). */
void logs_protobuf_status(struct span message, struct buf *out);

#endif
