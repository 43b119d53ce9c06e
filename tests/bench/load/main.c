/* SPDX-License-Identifier: MIT */
/* bench_load MODE --option value ... */
#include "tests/bench/load/fail.h"
#include "tests/bench/load/mode.h"

#include <sys/prctl.h>

static const struct {
    const char *name;
    mode_fn *run;
} modes[] = {
    {"idle", mode_idle},       {"fanout", mode_fanout},   {"pushes", mode_pushes},
    {"relay", mode_relay},     {"tracker", mode_tracker}, {"stream", mode_stream},
    {"devices", mode_devices}, {"chat", mode_chat},       {"logins", mode_logins},
    {"hold", mode_hold},       {"crowd", mode_crowd},
};

void mode_needs_node(const struct options *options)
{
    if (options->node_count == 0) {
        fail("no --node");
    }
}

static mode_fn *find(const char *name)
{
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(modes[i].name, name) == 0) {
            return modes[i].run;
        }
    }
    fail("%s: unknown mode", name);
}

int main(int argc, char **argv)
{
    struct options options;
    struct loop loop;
    if (argc < 2) {
        fail("usage: bench_load idle|fanout|pushes|relay|tracker|stream|devices|chat|logins|hold|"
             "crowd "
             "--node ADDRESS:PORT ...");
    }
    mode_fn *run = find(argv[1]);
    options_read(&options, argc - 2, argv + 2);
    fail_after(options.limit);
    prctl(PR_SET_TIMERSLACK, 1UL);
    loop_init(&loop);
    run(&loop, &options);
    return 0;
}
