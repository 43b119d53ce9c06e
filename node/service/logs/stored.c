/* SPDX-License-Identifier: MIT */
#include "node/service/logs/stored.h"

#include "node/proto/json/walk.h"
#include "node/service/logs/entry.h"
#include "store/archive/archive.h"
#include "store/base/decimal.h"
#include "store/base/list.h"
#include "store/base/utf8.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    STORED_PAGE = 500,
    STORED_NAMES_MOST = 64,       /* of one list */
    STORED_NAME_BYTES_MOST = 512, /* what a column holds (row.c) */
    STORED_OF_ADDRESS = 4,        /* requests that wait, of one address: the rest is for others */
};

struct logs_stored {
    struct logs_stored_options options;
    struct archive *archive; /* NULL: no PostgreSQL */
    struct list waiting;
};

/* A request that waits for PostgreSQL. */
struct stored_asker {
    struct list entry;
    struct logs_stored *stored;
    struct http_request *request;
    struct address from;
};

/* A list of names of a question. */
struct named {
    struct buf text;
    struct span of[STORED_NAMES_MOST];
    size_t count;
};

/* What stands in a query, with the memory of it. */
struct asked {
    struct archive_question question;
    struct buf room;
    struct named users, not_users, rooms, not_rooms;
    const char *wrong; /* parameter */
};

/* ------------------------------------------------------------------------------------ the query */

static uint64_t read_number(struct http_request *request, const char *name, struct asked *asked)
{
    struct buf text = {0};
    uint64_t number = 0;
    if (http_query(request, name, &text) && text.len > 0 &&
        !decimal_read(buf_span(&text), INT64_MAX, &number)) {
        asked->wrong = name;
    }
    buf_free(&text);
    return number;
}

static bool is_storable(struct span text)
{
    return utf8_valid(text) && memchr(text.ptr, '\0', text.len) == NULL;
}

static bool read_name(struct named *named, struct span raw)
{
    struct buf name = {0};
    bool good = named->count < STORED_NAMES_MOST && json_kind_of(raw) == JSON_KIND_STRING;
    if (good) {
        json_unquote(raw, &name);
        good =
            name.len <= STORED_NAME_BYTES_MOST && (name.len == 0 || is_storable(buf_span(&name)));
    }
    if (good) {
        /* Their bytes move while more come: for now only their lengths count. */
        named->of[named->count++] = span_of(NULL, name.len);
        buf_append(&named->text, buf_span(&name));
    }
    buf_free(&name);
    return good;
}

/* `name` is a JSON array of strings. */
static void read_names(struct http_request *request, const char *name, struct asked *asked,
                       struct named *named, struct archive_names *names)
{
    struct buf text = {0};
    size_t at;
    if (!http_query(request, name, &text)) {
        buf_free(&text);
        return;
    }
    bool good = json_valid(buf_span(&text), &at) &&
                json_kind_of(json_trim(buf_span(&text))) == JSON_KIND_ARRAY;
    struct span rest = good ? json_inside(json_trim(buf_span(&text))) : span_of(NULL, 0), raw;
    while (good && json_next_element(&rest, &raw)) {
        good = read_name(named, raw);
    }
    if (!good) {
        asked->wrong = name;
    }
    const char *place = buf_text(&named->text); /* not NULL, where all are empty */
    for (size_t i = 0; i < named->count; i++) {
        named->of[i] = span_of(place, named->of[i].len);
        place += named->of[i].len;
    }
    *names = (struct archive_names){named->of, named->count};
    buf_free(&text);
}

static void read_levels(struct http_request *request, struct asked *asked)
{
    static const char *const levels[ARCHIVE_LEVELS] = {"trace", "debug", "info",
                                                       "warn",  "error", "fatal"};
    struct buf text = {0};
    struct span rest;
    http_query(request, "levels", &text);
    for (rest = buf_span(&text); rest.len > 0;) {
        struct span word = span_cut(&rest, ',');
        unsigned i = 0;
        while (i < ARCHIVE_LEVELS && !span_eq(word, span_str(levels[i]))) {
            i++;
        }
        if (i == ARCHIVE_LEVELS) {
            asked->wrong = "levels";
        } else {
            asked->question.levels |= 1U << i;
        }
    }
    buf_free(&text);
}

static void read_room(struct http_request *request, struct asked *asked)
{
    if (http_query(request, "room", &asked->room) && !logs_is_no_room(buf_span(&asked->room))) {
        asked->question.room = buf_span(&asked->room);
        if (!is_storable(asked->question.room)) {
            asked->wrong = "room";
        }
    }
}

static void read_question(struct http_request *request, bool own, struct asked *asked)
{
    struct archive_question *question = &asked->question;
    uint64_t limit = read_number(request, "limit", asked);
    question->own = own;
    question->limit = limit == 0                     ? STORED_PAGE
                      : limit < ARCHIVE_ENTRIES_MOST ? (unsigned)limit
                                                     : ARCHIVE_ENTRIES_MOST;
    question->place.time_us = (int64_t)read_number(request, "before", asked);
    question->place.seq = read_number(request, "seq", asked);
    question->line = read_number(request, "line", asked);
    read_room(request, asked);
    read_levels(request, asked);
    read_names(request, "users", asked, &asked->users, &question->users);
    read_names(request, "nousers", asked, &asked->not_users, &question->not_users);
    read_names(request, "rooms", asked, &asked->rooms, &question->rooms);
    read_names(request, "norooms", asked, &asked->not_rooms, &question->not_rooms);
}

static void asked_free(struct asked *asked)
{
    buf_free(&asked->room);
    buf_free(&asked->users.text);
    buf_free(&asked->not_users.text);
    buf_free(&asked->rooms.text);
    buf_free(&asked->not_rooms.text);
}

/* ------------------------------------------------------------------------------------ the answer */

static struct http_request *waiting_end(struct stored_asker *waiting)
{
    struct http_request *request = waiting->request;
    list_del(&waiting->entry);
    free(waiting);
    return request;
}

static void reply(struct http_request *request, struct span body)
{
    http_reply_field(request, "Cache-Control", SPAN("no-store"));
    http_reply(request, 200, "application/json", body);
}

static void on_answer(void *arg, const struct archive_answer *answer)
{
    struct stored_asker *waiting = arg;
    const struct metrics *metrics = waiting->stored->options.metrics;
    struct http_request *request = waiting_end(waiting);
    struct buf body = {0};
    if (answer->error != NULL) {
        http_reply_error(request, 503, "%s", answer->error);
        return;
    }
    buf_append(&body, SPAN("{\"stored\":true,\"entries\":"));
    buf_append(&body, answer->entries);
    buf_printf(&body, ",\"more\":%s,\"unstored\":%" PRIu64, answer->more ? "true" : "false",
               metrics->value[METRIC_LOGS_UNSTORED]);
    if (answer->count > 0) {
        buf_printf(&body, ",\"before\":%" PRId64 ",\"seq\":%" PRIu64, answer->last.time_us,
                   answer->last.seq);
    }
    buf_append(&body, SPAN("}"));
    reply(request, buf_span(&body));
    buf_free(&body);
}

static unsigned count_of(const struct logs_stored *stored, const struct address *from)
{
    unsigned count = 0;
    for (struct list *it = stored->waiting.next; it != &stored->waiting; it = it->next) {
        const struct stored_asker *waiting = LIST_ITEM(it, struct stored_asker, entry);
        count += address_same_source(&waiting->from, from) ? 1 : 0;
    }
    return count;
}

static void ask(struct logs_stored *stored, struct http_request *request,
                const struct archive_question *question)
{
    if (count_of(stored, http_peer(request)) >= STORED_OF_ADDRESS) {
        http_reply_field(request, "Retry-After", SPAN("2"));
        http_reply_error(request, 503, "too many of this address ask for stored lines at once");
        return;
    }
    struct stored_asker *waiting = mem_zalloc(sizeof(*waiting));
    waiting->stored = stored;
    waiting->request = request;
    waiting->from = *http_peer(request);
    list_push_back(&stored->waiting, &waiting->entry);
    if (archive_ask(stored->archive, question, on_answer, waiting) != 0) {
        http_reply_field(request, "Retry-After", SPAN("2"));
        http_reply_error(waiting_end(waiting), 503,
                         "too many ask this node for stored lines at once");
    }
}

void logs_stored_answer(struct logs_stored *stored, struct http_request *request, bool own)
{
    struct asked asked = {0};
    struct buf count = {0};
    bool only_whether =
        http_query(request, "limit", &count) && span_eq(buf_span(&count), SPAN("0"));
    buf_free(&count);
    if (stored->archive == NULL) {
        reply(request, SPAN("{\"stored\":false}"));
        return;
    }
    if (only_whether) {
        reply(request, SPAN("{\"stored\":true}"));
        return;
    }
    read_question(request, own, &asked);
    if (asked.wrong != NULL) {
        http_reply_error(request, 400, "%s cannot be read", asked.wrong);
    } else {
        ask(stored, request, &asked.question);
    }
    asked_free(&asked);
}

/* ------------------------------------------------------------------------------------ life */

struct logs_stored *logs_stored_new(const struct logs_stored_options *options)
{
    struct logs_stored *stored = mem_zalloc(sizeof(*stored));
    char name[96];
    stored->options = *options;
    list_init(&stored->waiting);
    if (options->uri[0] != '\0') {
        snprintf(name, sizeof(name), "muster %s reads logs", options->node);
        stored->archive = archive_new(options->base, options->uri, name);
    }
    return stored;
}

void logs_stored_free(struct logs_stored **stored)
{
    struct logs_stored *gone = *stored;
    if (gone == NULL) {
        return;
    }
    *stored = NULL;
    archive_free(&gone->archive);
    while (!list_empty(&gone->waiting)) {
        struct stored_asker *waiting = LIST_ITEM(gone->waiting.next, struct stored_asker, entry);
        http_reply_error(waiting_end(waiting), 503, "the node is going away");
    }
    free(gone);
}
