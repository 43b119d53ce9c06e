/* SPDX-License-Identifier: MIT */
/* memory: what libraries allocate for this process, and how its allocator works. */
#ifndef MUSTER_NODE_CORE_MEMORY_H
#define MUSTER_NODE_CORE_MEMORY_H

/* Has libevent and jansson allocate through mem_alloc: where there is no memory the process ends with
 * a message, instead of a timer that is never set or a value that is not there. Before anything else
 * of them is used. Libraries that pass on their failures (libpq, libcurl, TLS) are left as they are. */
void memory_guard_libraries(void);

/* Has the allocator join what is freed with its neighbours at once. Else it lays small blocks aside, and
 * the next large one waits until all of them are joined: 10 ms after a few hundred thousand. */
void memory_join_at_once(void);

#endif
