/* SPDX-License-Identifier: MIT */
/* The live page of the fleet, fleet.html, and the one that shows a page of docs/, docs.html, embedded
 * at build time (cmake/embed_pages.cmake). */
#ifndef MUSTER_NODE_SERVICE_FLEET_PAGE_H
#define MUSTER_NODE_SERVICE_FLEET_PAGE_H

#include <stddef.h>

extern const char page_fleet[];
extern const size_t page_fleet_size;

extern const char page_docs[];
extern const size_t page_docs_size;

#endif
