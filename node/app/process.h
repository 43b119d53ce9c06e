/* SPDX-License-Identifier: MIT */
/* process: what the verbs that stay (`node`, `sink`) have in common: signals, the store with what
 * it reports, and an HTTP server. */
#ifndef MUSTER_NODE_APP_PROCESS_H
#define MUSTER_NODE_APP_PROCESS_H

#include "node/core/metrics.h"
#include "node/core/settings.h"
#include "node/net/net.h"
#include "node/proto/http/http.h"
#include "store/store.h"

#include <event2/event.h>

/* Repairs what the parent process may have left unfit: a closed stdin, stdout or stderr, whose
 * number a socket would get, and log lines with it; SIGTERM, SIGINT and SIGQUIT blocked, which end
 * this process; SIGCHLD ignored, so that children end unseen. Also ignores SIGPIPE, so that writing
 * to a closed pipe does not end the process, and SIGUSR1 and SIGUSR2, which would end it, too. To
 * be called first of all. */
void process_prepare(void);

enum { PROCESS_SIGNALS = 3 };

struct process_signals {
    struct event *events[PROCESS_SIGNALS];
};

/* SIGTERM, SIGINT and SIGQUIT call `fn` with their number. */
void process_watch_signals(struct process_signals *signals, struct event_base *base,
                           event_callback_fn fn, void *arg);

/* From here on a signal has its default effect again. Signals that were not watched are fine. */
void process_unwatch_signals(struct process_signals *signals);

/* What the store is told of TLS; the strings are borrowed. */
struct store_tls process_store_tls(const struct settings *settings);

/* New: the store of the settings, for the process of that name. What it reports is logged, and
 * counted in `metrics`. NULL with a message in `error`. */
struct store *process_open_store(const struct settings *settings, struct event_base *base,
                                 const char *name, struct metrics *metrics, char *error,
                                 size_t error_size) __attribute__((warn_unused_result));

/* Reads trusted-proxies, to be freed with cidr_list_free. 0, or -1 with a message that begins with the
 * setting's name. */
int process_trusted(const struct settings *settings, struct cidr_list *out, char *error,
                    size_t error_size) __attribute__((warn_unused_result));

/* New: an HTTP server with the limits of the settings, without routes. `trusted` is borrowed. */
struct http_server *process_http(const struct settings *settings, struct net *net,
                                 const struct cidr_list *trusted, bool admin);

#endif
