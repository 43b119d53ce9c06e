/* SPDX-License-Identifier: MIT */
#include "node/core/memory.h"

#include "store/base/mem.h"

#include <event2/event.h>
#include <jansson.h>
#include <malloc.h>

void memory_guard_libraries(void)
{
    event_set_mem_functions(mem_alloc, mem_realloc, free);
    json_set_alloc_funcs(mem_alloc, free);
}

void memory_join_at_once(void)
{
#ifdef M_MXFAST
    mallopt(M_MXFAST, 0);
#endif
}
