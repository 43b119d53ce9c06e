/* SPDX-License-Identifier: MIT */
/* resolver: host names to addresses, as the system's getaddrinfo knows them: the same files, order,
 * search lists and retries as any other program's, each time read as they are now. It blocks, so it
 * runs in threads of its own, which are there only while names are looked up; the loop never waits.
 *
 *     ask --> QUEUED --a thread is free--> RUNNING --> OVER --> fn of each that asked
 *
 * Those that ask for one name at the same time share one look-up. An asker that gives up and asks again finds
 * the same one, or its answer: a name that takes longer than one try is found all the same. */
#ifndef MUSTER_STORE_RESOLVER_RESOLVER_H
#define MUSTER_STORE_RESOLVER_RESOLVER_H

#include <event2/event.h>
#include <netdb.h>
#include <stdint.h>

struct resolver;
struct resolver_query;

/* `found` has at least one address of a stream socket, in the order to try them in, without a port;
 * NULL when there is none, and then `why` says so for a person. Both are borrowed until return. */
typedef void resolver_fn(void *arg, const struct addrinfo *found, const char *why);

/* New; `base` is borrowed. */
struct resolver *resolver_new(struct event_base *base)
    __attribute__((returns_nonnull, warn_unused_result));

/* Ends *resolver and nulls it, without any more calls; NULL inside is fine. Does not wait for
 * threads that still look something up. Not inside an `fn`. */
void resolver_free(struct resolver **resolver);

/* Asks for the addresses of `host` (copied), a name or an address in digits. `fn` is called once,
 * from the loop, never inside this call, unless cancelled before; the query is gone then. */
struct resolver_query *resolver_ask(struct resolver *resolver, const char *host, resolver_fn *fn,
                                    void *arg) __attribute__((returns_nonnull, warn_unused_result));

/* Ends *query without a call of its `fn`, and nulls it; NULL inside is fine. */
void resolver_cancel(struct resolver_query **query);

/* The address that is tried at the `pick`th try, all of them in turn, with `port`: its length. */
socklen_t resolver_pick(const struct addrinfo *found, unsigned pick, uint16_t port,
                        struct sockaddr_storage *out);

#endif
