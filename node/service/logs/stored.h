/* SPDX-License-Identifier: MIT */
/* logs stored: GET /logs/stored, further back than the stream goes: what the sinks have put into
 * PostgreSQL, a page at a time (store/archive/archive.h). Without the setting postgres it says that there
 * is nothing to be had. */
#ifndef MUSTER_NODE_SERVICE_LOGS_STORED_H
#define MUSTER_NODE_SERVICE_LOGS_STORED_H

#include "node/core/metrics.h"
#include "node/proto/http/http.h"

#include <event2/event.h>

struct logs_stored;

struct logs_stored_options {
    struct event_base *base; /* all borrowed */
    const char *uri;         /* of PostgreSQL; empty: none */
    const char *node;
    const struct metrics *metrics; /* how many entries wait to be stored */
};

struct logs_stored *logs_stored_new(const struct logs_stored_options *options);
void logs_stored_free(struct logs_stored **stored);

/* Answers a request that may be answered, now or later. `own`: with the nodes' own lines, too. */
void logs_stored_answer(struct logs_stored *stored, struct http_request *request, bool own);

#endif
