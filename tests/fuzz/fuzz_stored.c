/* SPDX-License-Identifier: MIT */
/* The input is the query of GET /logs/stored: it is answered, and what PostgreSQL would be asked is what the code
 * says, with words of the client inside of literals only. */
#include "node/service/logs/stored.h"
#include "store/archive/archive.h"
#include "tests/fuzz/fuzz_peer.h"

enum { STATEMENTS = 4, NAMES_MOST = 64 };

/* In place of the one of store/archive/archive.c: it answers later. */
struct archive {
    archive_fn *fn;
    void *arg;
    bool fails, full;
};

static struct archive asked;
static struct fuzz_peer peer;
static struct logs_stored *stored;

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

/* The end of a literal whose first quote is at `at`. */
static size_t literal_end(struct span sql, size_t at)
{
    bool escapes = at > 0 && sql.ptr[at - 1] == 'E';
    for (size_t i = at + 1; i < sql.len; i++) {
        if (escapes && sql.ptr[i] == '\\') {
            i++;
        } else if (sql.ptr[i] == '\'' && i + 1 < sql.len && sql.ptr[i + 1] == '\'') {
            i++;
        } else if (sql.ptr[i] == '\'') {
            return i;
        }
    }
    must(false, "a literal ends");
    return sql.len;
}

static void look_at_sql(const struct archive_question *question)
{
    struct buf text = {0};
    unsigned statements = 1;
    int depth = 0;
    archive_print_sql(question, &text);
    struct span sql = buf_span(&text);
    for (size_t i = 0; i < sql.len; i++) {
        char c = sql.ptr[i];
        if (c == '\'') {
            i = literal_end(sql, i);
            continue;
        }
        must(c >= ' ' && c < 0x7f && c != '$' && c != '"' && c != '\\', "our own words");
        must(c != '-' || (i > 0 && sql.ptr[i - 1] != '-'), "no comment");
        statements += c == ';';
        depth += c == '(';
        depth -= c == ')';
        must(depth >= 0, "brackets");
    }
    must(statements == STATEMENTS && depth == 0, "what is asked");
    buf_free(&text);
}

struct archive *archive_new(struct event_base *base, const char *uri, const char *name)
{
    (void)base, (void)uri, (void)name;
    return &asked;
}

void archive_free(struct archive **archive)
{
    *archive = NULL;
}

int archive_ask(struct archive *archive, const struct archive_question *question, archive_fn *fn,
                void *arg)
{
    must(question->limit >= 1 && question->limit <= ARCHIVE_ENTRIES_MOST, "a page");
    must(question->users.count <= NAMES_MOST && question->not_rooms.count <= NAMES_MOST, "names");
    must(question->place.time_us >= 0, "a place");
    look_at_sql(question);
    if (archive->full) {
        return -1;
    }
    archive->fn = fn;
    archive->arg = arg;
    return 0;
}

static bool answer_later(void)
{
    const struct archive_answer answer = {.error = asked.fails ? "it fails" : NULL,
                                          .entries = SPAN("[{}]"),
                                          .count = 1,
                                          .more = true,
                                          .last = {5, 7}};
    archive_fn *fn = asked.fn;
    asked.fn = NULL;
    if (fn != NULL) {
        fn(asked.arg, &answer);
    }
    return fn != NULL;
}

static void on_stored(void *arg, struct http_request *request)
{
    logs_stored_answer(arg, request, asked.fails);
}

/* A node without PostgreSQL. */
static void on_none(void *arg, struct http_request *request)
{
    (void)arg;
    struct logs_stored *none = logs_stored_new(&(struct logs_stored_options){
        .base = loop_base(peer.loop), .uri = "", .node = "node", .metrics = &peer.metrics});
    logs_stored_answer(none, request, false);
    logs_stored_free(&none);
}

static void init(void)
{
    fuzz_peer_init(&peer, &fuzz_http_options);
    stored = logs_stored_new(&(struct logs_stored_options){.base = loop_base(peer.loop),
                                                           .uri = "postgresql:",
                                                           .node = "node",
                                                           .metrics = &peer.metrics});
    http_route(peer.server, "GET", "/s", on_stored, stored);
    http_route(peer.server, "GET", "/n", on_none, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct buf in, out;
    if (stored == NULL) {
        init();
    }
    in.len = out.len = 0;
    asked.fails = size % 2 == 1;
    asked.full = size % 8 == 0;
    buf_append(&in, size % 8 == 1 ? SPAN("GET /n?") : SPAN("GET /s?"));
    for (size_t i = 0; i < size; i++) {
        bool plain = data[i] > ' ' && data[i] != '#' && data[i] != 0x7f;
        buf_printf(&in, plain ? "%c" : "%%%02x", data[i]);
    }
    buf_append(&in, SPAN(" HTTP/1.1\r\nHost: a\r\n\r\n"));
    fuzz_play(&peer, buf_span(&in), 0, &out, answer_later);
    must(span_starts_with(buf_span(&out), SPAN("HTTP/1.1 ")), "an answer");
    return 0;
}
