/* SPDX-License-Identifier: MIT */
/* memory: the backend of one process. Several stores may meet in one hub, as nodes meet in Redis. */
#ifndef MUSTER_STORE_MEMORY_MEMORY_H
#define MUSTER_STORE_MEMORY_MEMORY_H

struct backend;
struct memory_hub;
struct store;

/* A place where several memory stores of one process meet, as Redis is for nodes. */
struct memory_hub *memory_hub_new(void);
void memory_hub_free(struct memory_hub **hub);

/* New; `hub` is borrowed, NULL: the store makes its own. */
struct backend *memory_open(struct store *store, struct memory_hub *hub);

#endif
