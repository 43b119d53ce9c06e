/* The viewer: logs.html, embedded at build time (node/embed_page.cmake). */
#ifndef MUSTER_NODE_SERVICE_LOGS_PAGE_H
#define MUSTER_NODE_SERVICE_LOGS_PAGE_H

#include <stddef.h>

extern const char logs_page[];
extern const size_t logs_page_size;

#endif
