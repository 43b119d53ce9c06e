/* SPDX-License-Identifier: MIT */
/* logs dump: listens at another server's /logs/listen and hands on what it hears, as the old
 * cheapass-logs-dumper did; after a lost link it asks for what it missed, which servers that keep a
 * backlog give. */
#ifndef MUSTER_NODE_SERVICE_LOGS_DUMP_H
#define MUSTER_NODE_SERVICE_LOGS_DUMP_H

#include "store/sink/batch.h"

#include <event2/event.h>

struct logs_dump;

struct logs_dump_options {
    struct event_base *base; /* all borrowed */
    const char *url;         /* ws[s]://host[:port]/logs/listen[?roomId=...] */
    const char *ca;    /* PEM file of the authorities that wss:// believes; empty: the system's */
    const char *token; /* bearer; empty: none */
    /* An entry; false when there is no room for more for now. */
    bool (*entry)(void *arg, const struct sink_item *item);
    bool (*room)(void *arg); /* there is room again */
    void *arg;
};

/* Are the settings of that name and `from_ca` good? 0, or -1 with a message that begins with the
 * setting's name. */
int logs_dump_check(const char *setting, const char *url, const char *ca, char *error,
                    size_t error_size) __attribute__((warn_unused_result));

/* New, or NULL with a message in `error`. */
struct logs_dump *logs_dump_new(const struct logs_dump_options *options, char *error,
                                size_t error_size) __attribute__((warn_unused_result));
bool logs_dump_is_open(const struct logs_dump *dump);
void logs_dump_free(struct logs_dump **dump);

#endif
