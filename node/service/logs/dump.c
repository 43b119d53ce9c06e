/* SPDX-License-Identifier: MIT */
#include "node/service/logs/dump.h"

#include "node/core/log.h"
#include "node/proto/json/walk.h"
#include "node/proto/ws/client.h"
#include "node/service/logs/row.h"
#include "store/base/clock.h"
#include "store/base/mem.h"
#include "store/base/timer.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    REMEMBERED = 4096, /* entries that a backlog may bring again */
    LOGS_DUMP_BACKLOG = 2000,
    LOGS_DUMP_PAUSE_MS = 100,
    MESSAGE_LIMIT = 32 * 1024 * 1024,
};

struct place {
    uint64_t seq;
    int64_t time_us;
};

struct logs_dump {
    struct logs_dump_options options;
    struct ws_client *client;
    bool open, opened_before;
    struct event *resume;
    struct place seen[REMEMBERED]; /* a ring */
    size_t count;
    uint64_t newest;
};

/* Only what is not newer than all before can have come before. */
static bool came_before(const struct logs_dump *dump, const struct place *place)
{
    size_t kept = dump->count < REMEMBERED ? dump->count : REMEMBERED;
    for (size_t i = 0; i < kept && place->seq <= dump->newest; i++) {
        if (dump->seen[i].seq == place->seq && dump->seen[i].time_us == place->time_us) {
            return true;
        }
    }
    return false;
}

static void take(struct logs_dump *dump, struct span payload, bool *full)
{
    struct place place = {0, (int64_t)clock_unix_ms() * 1000};
    bool placed = logs_row_place(payload, &place.time_us, &place.seq);
    if (placed && came_before(dump, &place)) {
        return;
    }
    if (placed) {
        dump->seen[dump->count++ % REMEMBERED] = place;
        dump->newest = place.seq > dump->newest ? place.seq : dump->newest;
    }
    struct sink_item item = {.seq = place.seq, .time_us = place.time_us, .payload = payload};
    *full = !dump->options.entry(dump->options.arg, &item) || *full;
}

/* Each entry is judged alone, later: one that is no JSON, or nested too deep, costs no other. */
static void on_message(void *arg, struct span text)
{
    struct logs_dump *dump = arg;
    struct span whole = json_trim(text);
    bool full = false;
    if (json_kind_of(whole) == JSON_KIND_ARRAY) {
        struct span rest = json_inside(whole), raw;
        while (json_next_element(&rest, &raw)) {
            take(dump, raw, &full);
        }
    } else if (json_kind_of(whole) == JSON_KIND_OBJECT) {
        take(dump, whole, &full);
    } /* else "pong" and its like */
    if (full) {
        ws_client_pause(dump->client, true);
        timer_after(dump->resume, LOGS_DUMP_PAUSE_MS);
    }
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
    struct logs_dump *dump = arg;
    (void)fd, (void)what;
    if (dump->options.room(dump->options.arg)) {
        ws_client_pause(dump->client, false);
    } else {
        timer_after(dump->resume, LOGS_DUMP_PAUSE_MS);
    }
}

static void on_open(void *arg)
{
    struct logs_dump *dump = arg;
    dump->open = dump->opened_before = true;
    log_info("sink", LOG_TEXT_FIELD("about", "listening"),
             LOG_TEXT_FIELD("detail", dump->options.url));
}

static void on_down(void *arg, const char *why)
{
    struct logs_dump *dump = arg;
    dump->open = false;
    log_warn("sink", LOG_TEXT_FIELD("about", "the server"), LOG_TEXT_FIELD("detail", why));
}

static const char *more_query(void *arg)
{
    static char text[32];
    const struct logs_dump *dump = arg;
    snprintf(text, sizeof(text), "backlog=%d", LOGS_DUMP_BACKLOG);
    return dump->opened_before ? text : NULL;
}

int logs_dump_check(const char *setting, const char *url, const char *ca, char *error,
                    size_t error_size)
{
    char text[200];
    if (ws_client_check(url, "", text, sizeof(text)) != 0) {
        snprintf(error, error_size, "%s: %s", setting, text);
        return -1;
    }
    if (ws_client_check(url, ca, text, sizeof(text)) != 0) {
        snprintf(error, error_size, "from-ca: %s", text);
        return -1;
    }
    return 0;
}

struct logs_dump *logs_dump_new(const struct logs_dump_options *options, char *error,
                                size_t error_size)
{
    static const struct ws_client_events events = {on_open, on_message, on_down, more_query};
    struct logs_dump *dump = mem_zalloc(sizeof(*dump));
    dump->options = *options;
    dump->client = ws_client_open(&(struct ws_client_options){.base = options->base,
                                                              .url = options->url,
                                                              .ca = options->ca,
                                                              .bearer = options->token,
                                                              .message_limit = MESSAGE_LIMIT,
                                                              .events = &events,
                                                              .arg = dump},
                                  error, error_size);
    if (dump->client == NULL) {
        free(dump);
        return NULL;
    }
    dump->resume = event_new(options->base, -1, 0, on_resume, dump);
    return dump;
}

bool logs_dump_is_open(const struct logs_dump *dump)
{
    return dump->open;
}

void logs_dump_free(struct logs_dump **dump)
{
    if (*dump != NULL) {
        ws_client_close(&(*dump)->client);
        event_free((*dump)->resume);
        free(*dump);
        *dump = NULL;
    }
}
