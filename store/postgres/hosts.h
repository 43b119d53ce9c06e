/* SPDX-License-Identifier: MIT */
/* postgres hosts: the servers that a URI names, with the addresses behind their names. libpq would
 * hold up the loop while it asks for these, so it is given `hostaddr` beside `host`: certificates
 * and passwords still go by the name, and all addresses of all servers are tried in turn. */
#ifndef MUSTER_STORE_POSTGRES_HOSTS_H
#define MUSTER_STORE_POSTGRES_HOSTS_H

#include "store/resolver/resolver.h"

#include <stdbool.h>

struct postgres_hosts;

/* The values of libpq's parameters of these names, each a list with commas; NULL: as the URI has it,
 * which names nothing that has to be looked up. Borrowed until return. */
struct postgres_place {
    const char *host, *hostaddr, *port;
};

/* `place` NULL: no name of the URI has an address, and `why` says so. */
typedef void postgres_hosts_fn(void *arg, const struct postgres_place *place, const char *why);

/* New, idle. `resolver` is borrowed for its life. */
struct postgres_hosts *postgres_hosts_new(struct resolver *resolver, postgres_hosts_fn *fn,
                                          void *arg)
    __attribute__((returns_nonnull, warn_unused_result));

void postgres_hosts_free(struct postgres_hosts **hosts);

/* Looks up what `uri` (and libpq's variables and service file beside it) names, then calls `fn`;
 * inside, where there is no name. One question at a time. */
void postgres_hosts_ask(struct postgres_hosts *hosts, const char *uri);

/* Gives up what is under way. */
void postgres_hosts_cancel(struct postgres_hosts *hosts);

bool postgres_hosts_are_asked(const struct postgres_hosts *hosts);

/* The address that came first was tried in vain without an answer: it comes last from now on. */
void postgres_hosts_turn(struct postgres_hosts *hosts);

#endif
