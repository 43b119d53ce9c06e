/* SPDX-License-Identifier: MIT */
/* cgroup: how much memory the control group of this process may use, and uses: what a container's
 * limit is made of. Version 2, and version 1 where the memory controller is still there. */
#ifndef MUSTER_NODE_CORE_CGROUP_H
#define MUSTER_NODE_CORE_CGROUP_H

#include <stdint.h>

/* The group with the least limit: the process' own, or one above it. */
struct cgroup {
    uint64_t limit; /* bytes; 0: none */
    char usage[256], stat[256];
    const char *prefix; /* of the lines of `stat` that count */
};

/* Finds it. `root` is put before /proc/self/cgroup and /sys/fs/cgroup: "" but in tests. Without
 * control groups, or without a limit, `limit` is 0. */
void cgroup_find(struct cgroup *cgroup, const char *root);

/* Bytes in use that cannot be taken back at once, sockets' buffers included; 0 where it cannot be
 * read, or nothing was found. Reads two small files. */
uint64_t cgroup_used(const struct cgroup *cgroup);

#endif
