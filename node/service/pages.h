/* The web pages, embedded at build time: fleet.html is page_fleet (node/embed.cmake). */
#ifndef MUSTER_NODE_SERVICE_PAGES_H
#define MUSTER_NODE_SERVICE_PAGES_H

#include <stddef.h>

extern const char page_fleet[];
extern const size_t page_fleet_size;

#endif
