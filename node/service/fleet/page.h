/* SPDX-License-Identifier: MIT */
/* The live page of the fleet, fleet.html, embedded at build time (cmake/embed_pages.cmake). */
#ifndef MUSTER_NODE_SERVICE_FLEET_PAGE_H
#define MUSTER_NODE_SERVICE_FLEET_PAGE_H

#include <stddef.h>

extern const char page_fleet[];
extern const size_t page_fleet_size;

/* docs/operate.md, which the page links to. */
extern const char page_operate[];
extern const size_t page_operate_size;

#endif
