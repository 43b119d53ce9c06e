/* SPDX-License-Identifier: MIT */
#include "node/core/cgroup.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Version 1 says "no limit" with a number near 2^63. */
#define NO_LIMIT (UINT64_C(1) << 60)

struct layout {
    const char *mount, *limit, *usage;
    const char *prefix; /* of the lines in memory.stat that count the groups below, too */
};

static const struct layout unified = {"/sys/fs/cgroup", "memory.max", "memory.current", ""};
static const struct layout memory_controller = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes",
                                                "memory.usage_in_bytes", "total_"};

/* The number in a file; 0: none, "max", or no such file. */
static uint64_t read_number(const char *path)
{
    uint64_t number = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return 0;
    }
    if (fscanf(file, "%" SCNu64, &number) != 1) {
        number = 0;
    }
    fclose(file);
    return number < NO_LIMIT ? number : 0;
}

/* Takes the group at `path`, below the layout's mount, when its limit is less than the one known. */
static void consider(struct cgroup *cgroup, const char *root, const struct layout *layout,
                     const char *path)
{
    char file[256];
    if (snprintf(file, sizeof(file), "%s%s%s/%s", root, layout->mount, path, layout->limit) >=
        (int)sizeof(file)) {
        return;
    }
    uint64_t limit = read_number(file);
    if (limit == 0 || (cgroup->limit != 0 && cgroup->limit <= limit)) {
        return;
    }
    cgroup->limit = limit;
    cgroup->prefix = layout->prefix;
    snprintf(cgroup->usage, sizeof(cgroup->usage), "%s%s%s/%s", root, layout->mount, path,
             layout->usage);
    snprintf(cgroup->stat, sizeof(cgroup->stat), "%s%s%s/memory.stat", root, layout->mount, path);
}

/* The group of a line and all above it. In a container the path may be the host's, and what is
 * mounted begins with the container's own group: then only the top is found. */
static void consider_all(struct cgroup *cgroup, const char *root, const struct layout *layout,
                         char *path)
{
    for (;;) {
        char *slash = strrchr(path, '/');
        if (slash == path && path[1] == '\0') {
            path[0] = '\0';
        }
        consider(cgroup, root, layout, path);
        if (slash == NULL || path[0] == '\0') {
            return;
        }
        *slash = '\0';
    }
}

/* A line of /proc/self/cgroup: "0::/path", or "4:cpu,memory:/path". */
static void read_line(struct cgroup *cgroup, const char *root, char *line)
{
    char *controllers = strchr(line, ':');
    char *path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
    if (path == NULL) {
        return;
    }
    *path++ = '\0';
    path[strcspn(path, "\n")] = '\0';
    if (strcmp(controllers, ":") == 0) {
        consider_all(cgroup, root, &unified, path);
    } else if (strstr(controllers, "memory") != NULL) {
        consider_all(cgroup, root, &memory_controller, path);
    }
}

void cgroup_find(struct cgroup *cgroup, const char *root)
{
    char name[256], line[512];
    *cgroup = (struct cgroup){0};
    snprintf(name, sizeof(name), "%s/proc/self/cgroup", root);
    FILE *file = fopen(name, "re");
    if (file == NULL) {
        return;
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        read_line(cgroup, root, line);
    }
    fclose(file);
}

/* Pages of files: the system drops them before it kills for memory. */
static uint64_t read_reclaimable(const struct cgroup *cgroup)
{
    char line[128], key[64];
    uint64_t bytes, sum = 0;
    size_t prefix = strlen(cgroup->prefix);
    FILE *file = fopen(cgroup->stat, "re");
    if (file == NULL) {
        return 0;
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        bool is_read = strncmp(line, cgroup->prefix, prefix) == 0 &&
                       sscanf(line + prefix, "%63s %" SCNu64, key, &bytes) == 2;
        if (is_read && (strcmp(key, "inactive_file") == 0 || strcmp(key, "active_file") == 0)) {
            sum += bytes;
        }
    }
    fclose(file);
    return sum;
}

uint64_t cgroup_used(const struct cgroup *cgroup)
{
    if (cgroup->limit == 0) {
        return 0;
    }
    uint64_t used = read_number(cgroup->usage);
    uint64_t reclaimable = read_reclaimable(cgroup);
    return used > reclaimable ? used - reclaimable : 0;
}
