/* SPDX-License-Identifier: MIT */
/* What a container may use, read from a made-up /proc and /sys. */
#include "node/core/cgroup.h"
#include "tests/unit/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MIB = 1024 * 1024 };

static char root[64];

/* Writes a file below `root`, with the folders to it. */
static void put(const char *path, const char *text)
{
    char name[300];
    snprintf(name, sizeof(name), "%s%s", root, path);
    for (char *slash = strchr(name + strlen(root) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(name, 0700);
        *slash = '/';
    }
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int make_root(void **state)
{
    (void)state;
    snprintf(root, sizeof(root), "/tmp/muster-cgroup-XXXXXX");
    return mkdtemp(root) != NULL ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof(command), "rm -rf %s", root);
    return system(command);
}

static struct cgroup find(void)
{
    struct cgroup cgroup;
    cgroup_find(&cgroup, root);
    return cgroup;
}

static void test_version_2_in_a_container(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/\n");
    put("/sys/fs/cgroup/memory.max", "134217728\n");
    put("/sys/fs/cgroup/memory.current", "73400320\n");
    put("/sys/fs/cgroup/memory.stat",
        "anon 100\ninactive_anon 5\ninactive_file 1048576\nactive_file 2097152\n");
    struct cgroup cgroup = find();
    assert_int_equal(cgroup.limit, 128 * MIB);
    assert_int_equal(cgroup_used(&cgroup), 67 * MIB);
}

static void test_the_least_limit_above_counts(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/pods/one/node\n");
    put("/sys/fs/cgroup/pods/one/node/memory.max", "max\n");
    put("/sys/fs/cgroup/pods/one/memory.max", "1048576\n");
    put("/sys/fs/cgroup/pods/one/memory.current", "7\n");
    put("/sys/fs/cgroup/pods/memory.max", "2097152\n");
    struct cgroup cgroup = find();
    assert_int_equal(cgroup.limit, MIB);
    assert_int_equal(cgroup_used(&cgroup), 7);
}

static void test_version_1_whose_path_is_the_hosts(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "5:devices:/x\n4:cpu,memory:/kubepods/pod1/abc\n0::/\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "134217728\n");
    put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "10485760\n");
    put("/sys/fs/cgroup/memory/memory.stat",
        "inactive_file 1\ntotal_inactive_file 1048576\ntotal_active_file 1048576\n");
    struct cgroup cgroup = find();
    assert_int_equal(cgroup.limit, 128 * MIB);
    assert_int_equal(cgroup_used(&cgroup), 8 * MIB);
}

static void test_without_a_limit(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "4:memory:/\n0::/\n");
    put("/sys/fs/cgroup/memory.max", "max\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    struct cgroup cgroup = find();
    assert_int_equal(cgroup.limit, 0);
    assert_int_equal(cgroup_used(&cgroup), 0);
}

static void test_without_control_groups(void **state)
{
    (void)state;
    assert_int_equal(find().limit, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_version_2_in_a_container, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_the_least_limit_above_counts, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_version_1_whose_path_is_the_hosts, make_root,
                                        remove_root),
        cmocka_unit_test_setup_teardown(test_without_a_limit, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_without_control_groups, make_root, remove_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
