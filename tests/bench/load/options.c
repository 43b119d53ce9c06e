/* SPDX-License-Identifier: MIT */
#include "tests/bench/load/options.h"

#include "store/base/span.h"
#include "tests/bench/load/fail.h"

#include <arpa/inet.h>
#include <limits.h>
#include <stdlib.h>

enum kind { ADDRESS, REDIS, DEVICE, FLAG, TEXT, NUMBER, SECONDS };

struct option_spec {
    const char *name;
    enum kind kind;
    size_t offset;
};

static const struct option_spec specs[] = {
    {"--node", ADDRESS, 0},
    {"--redis", REDIS, 0},
    {"--device", DEVICE, offsetof(struct options, device)},
    {"--listen", NUMBER, offsetof(struct options, listen)},
    {"--floor", FLAG, offsetof(struct options, floor)},
    {"--deflate", FLAG, offsetof(struct options, deflate)},
    {"--path", TEXT, offsetof(struct options, path)},
    {"--session", TEXT, offsetof(struct options, session)},
    {"--connections", NUMBER, offsetof(struct options, connections)},
    {"--sessions", NUMBER, offsetof(struct options, sessions)},
    {"--members", NUMBER, offsetof(struct options, members)},
    {"--size", NUMBER, offsetof(struct options, size)},
    {"--window", NUMBER, offsetof(struct options, window)},
    {"--period-ms", NUMBER, offsetof(struct options, period_ms)},
    {"--rate", NUMBER, offsetof(struct options, rate)},
    {"--warm-up", SECONDS, offsetof(struct options, warm_up)},
    {"--seconds", SECONDS, offsetof(struct options, seconds)},
    {"--pid", NUMBER, offsetof(struct options, pid)},
    {"--second-pid", NUMBER, offsetof(struct options, second_pid)},
    {"--dialect", TEXT, offsetof(struct options, dialect)},
    {"--all-join", FLAG, offsetof(struct options, all_join)},
    {"--token", TEXT, offsetof(struct options, token)},
    {"--limit", NUMBER, offsetof(struct options, limit)},
};

_Static_assert(sizeof(pid_t) == sizeof(uint32_t), "--pid is read as a number");

static struct sockaddr_in read_address(const char *text)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    struct span rest = span_str(text);
    struct span host = span_cut(&rest, ':');
    char host_text[INET_ADDRSTRLEN] = {0};
    if (host.len >= sizeof(host_text) || rest.len == 0) {
        fail("%s: not ADDRESS:PORT", text);
    }
    memcpy(host_text, host.ptr, host.len);
    if (inet_pton(AF_INET, host_text, &address.sin_addr) != 1) {
        fail("%s: not ADDRESS:PORT", text);
    }
    address.sin_port = htons((uint16_t)atoi(rest.ptr));
    return address;
}

static uint32_t read_number(const char *text)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value > UINT_MAX) {
        fail("%s: not a number", text);
    }
    return (uint32_t)value;
}

static void add_node(struct options *options, const char *value)
{
    if (options->node_count == NODES_MAX) {
        fail("more than %d nodes", NODES_MAX);
    }
    options->nodes[options->node_count++] = read_address(value);
}

static void set(struct options *options, const struct option_spec *spec, const char *value)
{
    void *at = (char *)options + spec->offset;
    switch (spec->kind) {
    case ADDRESS:
        add_node(options, value);
        break;
    case REDIS:
        options->redis = read_address(value);
        options->has_redis = true;
        break;
    case DEVICE:
        options->device = read_address(value);
        break;
    case FLAG:
        *(bool *)at = read_number(value) != 0;
        break;
    case TEXT:
        *(const char **)at = value;
        break;
    case NUMBER:
        *(uint32_t *)at = read_number(value);
        break;
    case SECONDS:
        *(double *)at = strtod(value, NULL);
        break;
    }
}

static const struct option_spec *find(const char *name)
{
    for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
        if (strcmp(specs[i].name, name) == 0) {
            return &specs[i];
        }
    }
    fail("%s: unknown option", name);
}

void options_read(struct options *options, int argc, char **argv)
{
    *options = (struct options){
        .path = "/connect",
        .session = "bench",
        .token = "bench",
        .dialect = "muster",
        .connections = 1000,
        .sessions = 250,
        .members = 4,
        .size = 200,
        .window = 8,
        .period_ms = 150,
        .warm_up = 1,
        .seconds = 3,
        .limit = 120,
    };
    for (int i = 0; i < argc; i += 2) {
        if (i + 1 == argc) {
            fail("%s: no value", argv[i]);
        }
        set(options, find(argv[i]), argv[i + 1]);
    }
}
