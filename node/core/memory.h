/* SPDX-License-Identifier: MIT */
/* memory: how this process allocates, and its libraries do. */
#ifndef MUSTER_NODE_CORE_MEMORY_H
#define MUSTER_NODE_CORE_MEMORY_H

/* Has libevent and jansson allocate through mem_alloc: where there is no memory the process ends with
 * a message, instead of a timer that is never set or a value that is not there. Before anything else
 * of them is used. Libraries that pass on their failures (libpq, libcurl, TLS) are left as they are. */
void memory_guard_libraries(void);

/* Has the allocator join what is freed with its neighbours at once. Else it keeps small pieces aside, and
 * the next large one that is asked for has to join all of them: 4 ms after a node with 19,000 sessions
 * died. */
void memory_join_freed(void);

#endif
