/* SPDX-License-Identifier: MIT */
#include "store/postgres/hosts.h"

#include "store/base/buf.h"
#include "store/base/mem.h"
#include "store/base/span.h"

#include <arpa/inet.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

enum { HOSTS_MOST = 32, ADDRESSES_MOST = 16 /* of one name */ };

/* A server of the URI. */
struct postgres_host {
    struct postgres_hosts *all;
    char *name, *port;
    struct resolver_query *query; /* NULL: none under way */
    char addresses[ADDRESSES_MOST][INET6_ADDRSTRLEN];
    size_t count;
};

struct postgres_hosts {
    struct resolver *resolver;
    postgres_hosts_fn *fn;
    void *arg;
    struct postgres_host hosts[HOSTS_MOST];
    size_t count, open; /* hosts; of these not answered */
    struct buf why;
    unsigned turned;
};

/* ------------------------------------------------------------------------------ what libpq means */

static char *option(const PQconninfoOption *options, const char *name)
{
    for (; options != NULL && options->keyword != NULL; options++) {
        if (strcmp(options->keyword, name) == 0 && options->val != NULL) {
            return mem_dup(span_str(options->val));
        }
    }
    return mem_dup(SPAN(""));
}

static bool has_addresses(const char *uri)
{
    char *error = NULL;
    PQconninfoOption *options = PQconninfoParse(uri, &error);
    char *hostaddr = option(options, "hostaddr");
    bool has = options == NULL || hostaddr[0] != '\0' || getenv("PGHOSTADDR") != NULL;
    PQconninfoFree(options);
    PQfreemem(error);
    free(hostaddr);
    return has;
}

/* What host and port are once URI, variables and service file have been read: new, or NULL. libpq
 * tells only of a connection, so it gets one that fails at once, before any name is looked up: with
 * an address that is none. */
static PQconninfoOption *effective(const char *uri)
{
    static const char *const names[] = {"dbname", "hostaddr", NULL};
    const char *const values[] = {uri, "!", NULL};
    PGconn *conn = PQconnectStartParams(names, values, 1);
    PQconninfoOption *options = PQconninfo(conn);
    PQfinish(conn);
    return options;
}

/* A path is a socket's; digits are an address. */
static bool is_name(struct span host)
{
    char *text = mem_dup(host);
    struct in6_addr address;
    bool name = host.len > 0 && text[0] != '/' && text[0] != '@' &&
                inet_pton(AF_INET, text, &address) != 1 && inet_pton(AF_INET6, text, &address) != 1;
    free(text);
    return name;
}

/* One port serves for all hosts. */
static void split(struct postgres_hosts *hosts, const char *host, const char *port)
{
    struct span names = span_str(host), ports = span_str(port);
    bool one = memchr(ports.ptr, ',', ports.len) == NULL;
    while (names.ptr != NULL && hosts->count < HOSTS_MOST) {
        struct postgres_host *it = &hosts->hosts[hosts->count++];
        *it = (struct postgres_host){.all = hosts};
        it->name = mem_dup(span_cut(&names, ','));
        it->port = mem_dup(one ? span_str(port) : span_cut(&ports, ','));
    }
}

static void forget(struct postgres_hosts *hosts)
{
    for (size_t i = 0; i < hosts->count; i++) {
        resolver_cancel(&hosts->hosts[i].query);
        free(hosts->hosts[i].name);
        free(hosts->hosts[i].port);
    }
    hosts->count = hosts->open = 0;
    buf_free(&hosts->why);
}

/* ------------------------------------------------------------------------------ what libpq gets */

struct lists {
    struct buf host, hostaddr, port;
    size_t count;
};

static void put(struct lists *lists, const struct postgres_host *host, const char *address)
{
    const char *comma = lists->count++ > 0 ? "," : "";
    buf_printf(&lists->host, "%s%s", comma, host->name);
    buf_printf(&lists->hostaddr, "%s%s", comma, address);
    buf_printf(&lists->port, "%s%s", comma, host->port);
}

/* A host is there once for each of its addresses, beginning with the one at place `turned`. */
static void list_all(const struct postgres_hosts *hosts, struct lists *lists, size_t from,
                     size_t below)
{
    size_t at = 0;
    for (size_t i = 0; i < hosts->count; i++) {
        const struct postgres_host *host = &hosts->hosts[i];
        bool name = is_name(span_str(host->name));
        size_t count = name ? host->count : 1;
        for (size_t n = 0; n < count; n++, at++) {
            if (at >= from && at < below) {
                put(lists, host, name ? host->addresses[n] : "");
            }
        }
    }
}

static size_t count_all(const struct postgres_hosts *hosts)
{
    size_t count = 0;
    for (size_t i = 0; i < hosts->count; i++) {
        count += is_name(span_str(hosts->hosts[i].name)) ? hosts->hosts[i].count : 1;
    }
    return count;
}

static void tell(struct postgres_hosts *hosts)
{
    struct lists lists = {0};
    struct buf why = hosts->why;
    size_t count = count_all(hosts), first = count > 0 ? hosts->turned % count : 0;
    hosts->why = (struct buf){0};
    list_all(hosts, &lists, first, count);
    list_all(hosts, &lists, 0, first);
    forget(hosts);
    if (count > 0) {
        struct postgres_place place = {buf_text(&lists.host), buf_text(&lists.hostaddr),
                                       buf_text(&lists.port)};
        hosts->fn(hosts->arg, &place, "");
    } else {
        hosts->fn(hosts->arg, NULL, buf_text(&why));
    }
    buf_free(&lists.host);
    buf_free(&lists.hostaddr);
    buf_free(&lists.port);
    buf_free(&why);
}

static void on_found(void *arg, const struct addrinfo *found, const char *why)
{
    struct postgres_host *host = arg;
    struct postgres_hosts *hosts = host->all;
    host->query = NULL;
    for (; found != NULL && host->count < ADDRESSES_MOST; found = found->ai_next) {
        char *text = host->addresses[host->count];
        host->count += getnameinfo(found->ai_addr, found->ai_addrlen, text, INET6_ADDRSTRLEN, NULL,
                                   0, NI_NUMERICHOST) == 0;
    }
    if (host->count == 0) {
        buf_printf(&hosts->why, "%s%s: %s", hosts->why.len > 0 ? "; " : "", host->name, why);
    }
    if (--hosts->open == 0) {
        tell(hosts);
    }
}

/* ------------------------------------------------------------------------------------ calls */

void postgres_hosts_ask(struct postgres_hosts *hosts, const char *uri)
{
    const struct postgres_place as_it_is = {NULL, NULL, NULL};
    if (!has_addresses(uri)) {
        PQconninfoOption *options = effective(uri);
        char *host = option(options, "host"), *port = option(options, "port");
        split(hosts, host, port);
        PQconninfoFree(options);
        free(host);
        free(port);
    }
    for (size_t i = 0; i < hosts->count; i++) {
        struct postgres_host *host = &hosts->hosts[i];
        if (is_name(span_str(host->name))) {
            hosts->open++;
            host->query = resolver_ask(hosts->resolver, host->name, on_found, host);
        }
    }
    if (hosts->open == 0) {
        forget(hosts);
        hosts->fn(hosts->arg, &as_it_is, "");
    }
}

void postgres_hosts_cancel(struct postgres_hosts *hosts)
{
    forget(hosts);
}

bool postgres_hosts_are_asked(const struct postgres_hosts *hosts)
{
    return hosts->open > 0;
}

void postgres_hosts_turn(struct postgres_hosts *hosts)
{
    hosts->turned++;
}

struct postgres_hosts *postgres_hosts_new(struct resolver *resolver, postgres_hosts_fn *fn,
                                          void *arg)
{
    struct postgres_hosts *hosts = mem_zalloc(sizeof(*hosts));
    hosts->resolver = resolver;
    hosts->fn = fn;
    hosts->arg = arg;
    return hosts;
}

void postgres_hosts_free(struct postgres_hosts **hosts)
{
    if (*hosts != NULL) {
        forget(*hosts);
        free(*hosts);
        *hosts = NULL;
    }
}
