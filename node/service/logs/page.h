/* SPDX-License-Identifier: MIT */
/* The viewer: logs.html, embedded at build time (cmake/embed_pages.cmake). */
#ifndef MUSTER_NODE_SERVICE_LOGS_PAGE_H
#define MUSTER_NODE_SERVICE_LOGS_PAGE_H

#include <stddef.h>

extern const char page_logs[];
extern const size_t page_logs_size;

#endif
