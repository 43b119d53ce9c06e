/* SPDX-License-Identifier: MIT */
/* metrics_process: what is not counted as it happens but looked up on request: memory, descriptors,
 * CPU time, and what the store counts itself. */
#ifndef MUSTER_NODE_CORE_METRICS_PROCESS_H
#define MUSTER_NODE_CORE_METRICS_PROCESS_H

#include "node/core/metrics.h"
#include "store/store.h"

/* Brings the rows of the process and of the store (NULL: there is none) up to date. */
void metrics_process_refresh(struct metrics *metrics, const struct store *store);

/* Resident memory of this process now. */
uint64_t metrics_process_resident_bytes(void);

#endif
