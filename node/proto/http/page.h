/* SPDX-License-Identifier: MIT */
/* page: what a browser may do with a page of ours; for the files of this folder only. */
#ifndef MUSTER_NODE_PROTO_HTTP_PAGE_H
#define MUSTER_NODE_PROTO_HTTP_PAGE_H

#include "store/base/buf.h"

/* Appends what a page of ours may do (Content Security Policy, level 3): of scripts, only those that stand
 * in it run, each named by its hash; it loads nothing from elsewhere, and stands in no other page. */
void http_page_policy(struct span page, struct buf *out);

#endif
