#include "node/app/fleet_wiring.h"

static void print_sessions(void *arg, struct buf *out)
{
    sync_describe(arg, out);
}

static void print_chat(void *arg, struct buf *out)
{
    chat_describe(arg, out);
}

static void print_relay(void *arg, struct buf *out)
{
    relay_describe(arg, out);
}

static void print_ports(void *arg, struct buf *out)
{
    dispatch_describe(arg, out);
}

void fleet_wiring_make(struct fleet *fleet, const struct fleet_wiring_parts *parts)
{
    const struct fleet_list lists[] = {
        {"sessions", print_sessions, parts->sync},
        {"chat", print_chat, parts->chat},
        {"relay", print_relay, parts->relay},
        {"ports", print_ports, parts->dispatch},
    };
    for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
        if (lists[i].arg != NULL) {
            fleet_show(fleet, &lists[i]);
        }
    }
}
