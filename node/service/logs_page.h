/* The viewer: logs.html, embedded at build time (node/embed.cmake). */
#ifndef MUSTER_NODE_SERVICE_LOGS_PAGE_H
#define MUSTER_NODE_SERVICE_LOGS_PAGE_H

#include <stddef.h>

extern const char page_logs[];
extern const size_t page_logs_size;

#endif
