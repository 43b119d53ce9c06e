/* SPDX-License-Identifier: MIT */
/* name: how a node is called in the fleet, and what its name says.
 *
 *     vm-5b1ce0a3                     a process of its own
 *     vm-1f2e3d4c-w0-2e28be9a         worker 0 of those that 1f2e3d4c started
 *     vm-sink-77a1c0de                one with another role
 *
 * Workers of one parent are at one place: they hold the same ports, so that what one of them sends
 * from a UDP port looks as if any of them had sent it. */
#ifndef MUSTER_NODE_CORE_NAME_H
#define MUSTER_NODE_CORE_NAME_H

#include "store/base/span.h"

#include <stdbool.h>

enum {
    NAME_SIZE = 65,  /* of a node's name, with its end */
    NAME_DIGITS = 8, /* hexadecimal, at its end */
};

/* Which worker it is, and of which parent. */
struct name_worker {
    int number;                  /* -1: none */
    char group[NAME_DIGITS + 1]; /* the same for all workers of one parent */
};

/* Another parent's workers are another group. */
void name_group_choose(char out[static NAME_DIGITS + 1]);

/* A name that no process of the fleet had before: the host, without blanks, `role` (may be empty),
 * and random digits. */
void name_choose(const char *role, char out[static NAME_SIZE]);

/* The same for a node, which may be a worker. */
void name_choose_node(const struct name_worker *worker, char out[static NAME_SIZE]);

/* Do both hold the same ports: one node, or workers of one parent? */
bool name_same_place(struct span one, struct span other);

#endif
