/* SPDX-License-Identifier: MIT */
#include "node/app/plan.h"

#include "node/app/process.h"
#include "node/app/services.h"
#include "node/app/workers.h"
#include "node/net/address.h"
#include "node/service/logs/dump.h"
#include "store/base/mem.h"
#include "store/postgres/postgres.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLAN_ERROR = 256 };

struct plan {
    const struct settings *settings;
    plan_fault_fn *fault;
    void *arg;
};

/* `name` is that of a setting, without hyphens before it. */
static void tell(const struct plan *plan, struct span name, const char *what)
{
    char where[SETTINGS_SOURCE];
    plan->fault(plan->arg, settings_source_of(plan->settings, name, where), what);
}

/* A service's message begins with the name of its setting and a colon. */
static void tell_message(const struct plan *plan, const char *message)
{
    struct span rest = span_str(message), name = span_cut(&rest, ':');
    name = span_starts_with(name, SPAN("--")) ? span_skip(name, 2) : name;
    tell(plan, name, rest.ptr != NULL ? span_trim(rest).ptr : message);
}

/* ------------------------------------------------------------------------------------ addresses */

struct bound {
    char where[SETTINGS_SOURCE];
    struct address address;
    bool udp;
};

enum { BOUND_MOST = 64 };

struct bounds {
    struct bound all[BOUND_MOST];
    size_t count;
};

static void each_bind_of(const struct settings *settings, const char *name, const char *list,
                         bool udp, plan_bind_fn *fn, void *arg)
{
    struct span rest = span_str(list);
    char where[SETTINGS_SOURCE];
    settings_source_of(settings, span_str(name), where);
    while (rest.len > 0) {
        struct span bind = span_trim(span_cut(&rest, ',')), network = span_cut(&bind, '=');
        char *text = mem_dup(bind.ptr != NULL ? bind : network);
        fn(arg, where, text, udp);
        free(text);
    }
}

void plan_each_bind(const struct settings *settings, plan_bind_fn *fn, void *arg)
{
    each_bind_of(settings, "http", settings->http, false, fn, arg);
    each_bind_of(settings, "admin", settings->admin, false, fn, arg);
    each_bind_of(settings, "relay", settings->relay, false, fn, arg);
    each_bind_of(settings, "tracker", settings->tracker, true, fn, arg);
}

static void add_bound(void *arg, const char *where, const char *bind, bool udp)
{
    struct bounds *bounds = arg;
    struct bound *bound = &bounds->all[bounds->count];
    int family;
    if (bounds->count < BOUND_MOST && address_parse_bind(bind, &bound->address, &family) == 0) {
        snprintf(bound->where, sizeof(bound->where), "%s", where);
        bound->udp = udp;
        bounds->count++;
    }
}

/* Port 0 is another one each time. */
static bool clash(const struct bound *a, const struct bound *b)
{
    char one[ADDRESS_TEXT], two[ADDRESS_TEXT];
    return a->udp == b->udp && a->address.port != 0 && a->address.port == b->address.port &&
           strcmp(address_text(&a->address, one), address_text(&b->address, two)) == 0;
}

/* The relay looks at its list by itself. */
static bool is_told_by_service(const struct bound *bound)
{
    return !bound->udp;
}

static void find_clashes(const struct plan *plan, const struct bounds *bounds)
{
    for (size_t i = 0; i < bounds->count; i++) {
        for (size_t j = i + 1; j < bounds->count; j++) {
            const struct bound *a = &bounds->all[i], *b = &bounds->all[j];
            char text[ADDRESS_TEXT], what[SETTINGS_SOURCE + PLAN_ERROR];
            bool alone = strcmp(a->where, b->where) == 0;
            if (clash(a, b) && !(alone && is_told_by_service(a))) {
                snprintf(what, sizeof(what), "%s%s the same address, %s", alone ? "" : a->where,
                         alone ? "names twice" : " has", address_text(&a->address, text));
                plan->fault(plan->arg, b->where, what);
            }
        }
    }
}

static void check_addresses(const struct plan *plan)
{
    struct bounds *bounds = mem_zalloc(sizeof(*bounds));
    plan_each_bind(plan->settings, add_bound, bounds);
    find_clashes(plan, bounds);
    free(bounds);
}

/* ------------------------------------------------------------------------------------ what is opened */

/* The store's options are the settings whose names begin with "store". */
static void check_store(const struct plan *plan)
{
    const struct settings *settings = plan->settings;
    const struct store_options options = {
        .url = settings->store,
        .tls = process_store_tls(settings),
        .prefix = settings->store_prefix,
        .replicas = settings->store_replicas,
    };
    const char *about;
    char error[PLAN_ERROR], name[64];
    if (store_check(&options, &about, error, sizeof(error)) != 0) {
        bool url = strcmp(about, "url") == 0;
        snprintf(name, sizeof(name), "store%s%s", url ? "" : "-", url ? "" : about);
        tell(plan, span_str(name), error);
    }
}

static void check_postgres(const struct plan *plan)
{
    char error[PLAN_ERROR];
    if (plan->settings->postgres[0] == '\0') {
        tell(plan, SPAN("postgres"), "is not set");
    } else if (postgres_check_uri(plan->settings->postgres, error, sizeof(error)) != 0) {
        tell(plan, SPAN("postgres"), error);
    }
}

static void check_source(const struct plan *plan, const char *name, const char *url)
{
    char error[PLAN_ERROR];
    if (logs_dump_check(name, url, plan->settings->from_ca, error, sizeof(error)) != 0) {
        tell_message(plan, error);
    }
}

/* ------------------------------------------------------------------------------------ verbs */

void plan_each_node_fault(const struct settings *settings, plan_fault_fn *fault, void *arg)
{
    const struct plan plan = {settings, fault, arg};
    char error[PLAN_ERROR];
    if (workers_check(settings, error, sizeof(error)) != 0) {
        tell_message(&plan, error);
    }
    check_store(&plan);
    for (services_check_fn *const *check = services_checks; *check != NULL; check++) {
        if ((*check)(settings, error, sizeof(error)) != 0) {
            tell_message(&plan, error);
        }
    }
    check_addresses(&plan);
}

void plan_each_sink_fault(const struct settings *settings, plan_fault_fn *fault, void *arg)
{
    const struct plan plan = {settings, fault, arg};
    bool from = settings->from[0] != '\0', mirror = settings->mirror[0] != '\0';
    check_postgres(&plan);
    if (!from && strcmp(settings->store, "memory:") == 0) {
        tell(&plan, SPAN("store"),
             "is memory:, which no other process can reach; give the nodes' Redis, or --from "
             "ws://host/logs/listen");
    }
    if (from) {
        check_source(&plan, "from", settings->from);
    } else {
        check_store(&plan);
    }
    if (from && mirror) {
        tell(&plan, SPAN("mirror"),
             "adds to the nodes' stream, which a sink with --from does not read");
    }
    if (mirror) {
        check_source(&plan, "mirror", settings->mirror);
    }
}

void plan_each_migrate_fault(const struct settings *settings, plan_fault_fn *fault, void *arg)
{
    const struct plan plan = {settings, fault, arg};
    check_postgres(&plan);
}
