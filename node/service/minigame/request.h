/* SPDX-License-Identifier: MIT */
/* minigame requests: what game servers may ask on /minigame, and what is wrong with the form of it
 * (docs/protocols.md#minigame). Pure: JSON in; what is wrong comes back in words for the client, static. */
#ifndef MUSTER_NODE_SERVICE_MINIGAME_REQUEST_H
#define MUSTER_NODE_SERVICE_MINIGAME_REQUEST_H

#include "store/base/span.h"

#include <jansson.h>

enum minigame_action {
    MINIGAME_START,
    MINIGAME_STOP,
    MINIGAME_INFO,
    MINIGAME_END,
    MINIGAME_ONLINE,
    MINIGAME_UNKNOWN,
};

/* New; NULL where `text` is no JSON, or nested deeper than any protocol takes. */
json_t *minigame_request_read(struct span text);

/* What is wrong with the form of a request, or NULL: then it is an object with a known action. NULL
 * as a request is fine, and wrong. */
const char *minigame_request_fault(const json_t *request);

enum minigame_action minigame_request_action(const json_t *request);

#endif
