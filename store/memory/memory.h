/* SPDX-License-Identifier: MIT */
/* memory: the backend of one process. Several stores may meet in one hub, as nodes meet in Redis. */
#ifndef MUSTER_STORE_MEMORY_MEMORY_H
#define MUSTER_STORE_MEMORY_MEMORY_H

struct backend;
struct memory_hub;
struct store;

/* New; `hub` is borrowed, NULL: the store makes its own. */
struct backend *memory_open(struct store *store, struct memory_hub *hub);

#endif
