/* SPDX-License-Identifier: MIT */
#include "node/app/plan.h"

#include "node/app/services.h"
#include "node/app/workers.h"
#include "node/net/address.h"
#include "node/proto/http/tls_client.h"
#include "node/service/logs/dump.h"
#include "store/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------ addresses */

struct bound {
    const char *flag;
    struct address address;
    bool udp;
};

enum { BOUND_MOST = 64, PLAN_ERROR = 256 };

struct bounds {
    struct bound all[BOUND_MOST];
    size_t count;
};

static void add_bound(struct bounds *bounds, const char *flag, struct span bind, bool udp)
{
    struct bound *bound = &bounds->all[bounds->count];
    char *text = mem_dup(bind);
    int family;
    if (bounds->count < BOUND_MOST && address_parse_bind(text, &bound->address, &family) == 0) {
        bound->flag = flag;
        bound->udp = udp;
        bounds->count++;
    }
    free(text);
}

/* Of "[name=]host:port,...". */
static void add_bounds(struct bounds *bounds, const char *flag, struct span list, bool udp)
{
    while (list.len > 0) {
        struct span bind = span_trim(span_cut(&list, ',')), name = span_cut(&bind, '=');
        add_bound(bounds, flag, bind.ptr != NULL ? bind : name, udp);
    }
}

/* Port 0 is another one each time. */
static bool clash(const struct bound *a, const struct bound *b)
{
    char one[ADDRESS_TEXT], two[ADDRESS_TEXT];
    return a->udp == b->udp && a->address.port != 0 && a->address.port == b->address.port &&
           strcmp(address_text(&a->address, one), address_text(&b->address, two)) == 0;
}

static void find_clashes(const struct bounds *bounds, plan_fault_fn *fault, void *arg)
{
    for (size_t i = 0; i < bounds->count; i++) {
        for (size_t j = i + 1; j < bounds->count; j++) {
            char text[ADDRESS_TEXT], error[PLAN_ERROR];
            bool relay = strcmp(bounds->all[j].flag, "--relay") == 0 &&
                         bounds->all[i].flag == bounds->all[j].flag; /* which says so itself */
            if (!relay && clash(&bounds->all[i], &bounds->all[j])) {
                snprintf(error, sizeof(error), "%s: %s has the same address, %s",
                         bounds->all[j].flag, bounds->all[i].flag,
                         address_text(&bounds->all[i].address, text));
                fault(arg, error);
            }
        }
    }
}

static void check_addresses(const struct settings *settings, plan_fault_fn *fault, void *arg)
{
    struct bounds bounds = {0};
    add_bound(&bounds, "--http", span_str(settings->http), false);
    add_bound(&bounds, "--admin", span_str(settings->admin), false);
    add_bounds(&bounds, "--relay", span_str(settings->relay), false);
    add_bounds(&bounds, "--tracker", span_str(settings->tracker), true);
    find_clashes(&bounds, fault, arg);
}

/* ------------------------------------------------------------------------------------ verbs */

/* A service's message begins with the name of its setting. */
static void tell(plan_fault_fn *fault, void *arg, const char *message)
{
    char error[PLAN_ERROR];
    snprintf(error, sizeof(error), "%s%s", strncmp(message, "--", 2) == 0 ? "" : "--", message);
    fault(arg, error);
}

void plan_each_node_fault(const struct settings *settings, plan_fault_fn *fault, void *arg)
{
    char error[PLAN_ERROR - 2];
    if (workers_check(settings, error, sizeof(error)) != 0) {
        tell(fault, arg, error);
    }
    for (services_check_fn *const *check = services_checks; *check != NULL; check++) {
        if ((*check)(settings, error, sizeof(error)) != 0) {
            tell(fault, arg, error);
        }
    }
    check_addresses(settings, fault, arg);
}

void plan_each_sink_fault(const struct settings *settings, plan_fault_fn *fault, void *arg)
{
    char error[PLAN_ERROR - 2];
    if (settings->postgres[0] == '\0') {
        tell(fault, arg, "postgres: is not set");
    }
    if (settings->from[0] == '\0' && strcmp(settings->store, "memory:") == 0) {
        tell(
            fault, arg,
            "store: is memory:, which no other process can reach; give the nodes' Redis, or --from "
            "ws://host/logs/listen");
    }
    if (settings->from[0] != '\0' &&
        logs_dump_check("from", settings->from, settings->from_ca, error, sizeof(error)) != 0) {
        tell(fault, arg, error);
    }
    if (settings->mirror[0] == '\0') {
        return;
    }
    if (settings->from[0] != '\0') {
        tell(fault, arg,
             "mirror: adds to the nodes' stream, which a sink with --from does not read");
    }
    if (logs_dump_check("mirror", settings->mirror, settings->from_ca, error, sizeof(error)) != 0) {
        tell(fault, arg, error);
    }
}

/* ------------------------------------------------------------------------------------ the first */

struct first {
    char *error;
    size_t size;
    bool found;
};

static void keep_first(void *arg, const char *error)
{
    struct first *first = arg;
    if (!first->found) {
        snprintf(first->error, first->size, "%s", error);
        first->found = true;
    }
}

int plan_check_node(const struct settings *settings, char *error, size_t error_size)
{
    struct first first = {error, error_size, false};
    plan_each_node_fault(settings, keep_first, &first);
    return first.found ? -1 : 0;
}

int plan_check_sink(const struct settings *settings, char *error, size_t error_size)
{
    struct first first = {error, error_size, false};
    plan_each_sink_fault(settings, keep_first, &first);
    return first.found ? -1 : 0;
}
