/* SPDX-License-Identifier: MIT */
/* What a node, or PostgreSQL, says to the verbs for a person at a terminal: muster status ('s'; with 'j' behind it for
 * --json), muster tail ('t') and muster tail --postgres ('p'; behind both 'j' for --json, 'w' for --level, 'g' for
 * --grep, 'a' for --since). Behind a 'v' stand the words that are
 * given to muster. Each further line of the input is an answer, of status one digit (the hundreds of HTTP's; 0:
 * there was none) and its body; of PostgreSQL '!' before an error, '+' where more would follow. Whatever it is, what is
 * shown is text: no byte of it moves a cursor. */
#include "node/app/terminal.h"
#include "node/app/verb_tail.h"
#include "node/proto/http/fetch.h"
#include "node/proto/ws/client.h"
#include "store/archive/archive.h"
#include "store/base/mem.h"
#include "store/base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __wrap_nanosleep(const struct timespec *wanted, struct timespec *left);

static struct span answers; /* that are left */
static struct buf shown, said;

static void must(bool holds, const char *what)
{
    if (!holds) {
        dprintf(STDERR_FILENO, "broken: %s\n", what);
        abort();
    }
}

/* The next line, exactly as long: overruns show. For free(). */
static bool next_answer(struct span *line)
{
    if (answers.len == 0) {
        return false;
    }
    struct span next = span_cut(&answers, '\n');
    char *copy = malloc(next.len > 0 ? next.len : 1);
    memcpy(copy, next.ptr, next.len);
    *line = span_of(copy, next.len);
    return true;
}

static void free_answer(struct span line)
{
    free((void *)(uintptr_t)line.ptr);
}

/* ------------------------------------------------------------------------------------ the terminal */

static ssize_t take(void *cookie, const char *bytes, size_t len)
{
    buf_append(cookie, span_of(bytes, len));
    return answers.len > 0 || cookie == &said ? (ssize_t)len : 0; /* then its reader has gone */
}

int __wrap_nanosleep(const struct timespec *wanted, struct timespec *left)
{
    (void)wanted, (void)left;
    return 0;
}

int verb_token(char *const args[])
{
    return args == NULL;
}

int verb_version(char *const args[])
{
    return args == NULL;
}

int verb_help(char *const args[])
{
    return args == NULL;
}

static void check_shown(const struct buf *text)
{
    for (size_t i = 0; i < text->len; i++) {
        unsigned char byte = (unsigned char)text->ptr[i];
        must(byte >= ' ' || byte == '\n' || byte == '\t', "no control character");
        must(byte != 0x7f, "nor a last one");
        unsigned char next = i + 1 < text->len ? (unsigned char)text->ptr[i + 1] : 0;
        must(byte != 0xc2 || next < 0x80 || next >= 0xa0, "nor one of two bytes");
    }
}

/* ------------------------------------------------------------------------------------ who answers */

struct fetcher *fetch_pool_new(const struct fetcher_options *options)
{
    (void)options;
    return NULL;
}

void fetch_pool_free(struct fetcher **fetcher)
{
    *fetcher = NULL;
}

struct fetch *fetch_start(struct fetcher *fetcher, const struct fetch_request *request,
                          fetch_fn *fn, void *arg)
{
    struct span line;
    (void)fetcher, (void)request;
    if (!next_answer(&line)) {
        fputc('\n', stdout);
        fflush(stdout); /* that is the end of --watch */
        return NULL;
    }
    char digit = line.len > 0 ? line.ptr[0] : '2';
    int status = digit >= '0' && digit <= '9' ? (digit - '0') * 100 : 200;
    fn(arg, status == 400 ? 401 : status, span_skip(line, line.len > 0 ? 1 : 0),
       status == 0 ? "nobody answers" : "");
    free_answer(line);
    return NULL;
}

void fetch_cancel(struct fetch **fetch)
{
    *fetch = NULL;
}

/* In place of the one of node/proto/ws/client.c. */
struct ws_client {
    int nothing;
};

struct ws_client *ws_client_open(const struct ws_client_options *options, char *error,
                                 size_t error_size)
{
    struct span line;
    (void)error, (void)error_size;
    must(options->events->query(options->arg)[0] != '\0', "a query");
    while (next_answer(&line)) {
        options->events->open(options->arg);
        options->events->message(options->arg, line);
        options->events->down(options->arg, "it went");
        must(options->events->query(options->arg)[0] != '\0', "a query");
        free_answer(line);
    }
    return mem_zalloc(sizeof(struct ws_client));
}

void ws_client_close(struct ws_client **client)
{
    free(*client);
    *client = NULL;
}

/* In place of the one of store/archive/archive.c. */
struct archive {
    int nothing;
};

struct archive *archive_new(struct event_base *base, const char *uri, const char *name)
{
    (void)base, (void)uri, (void)name;
    return mem_zalloc(sizeof(struct archive));
}

void archive_free(struct archive **archive)
{
    free(*archive);
    *archive = NULL;
}

int archive_ask(struct archive *archive, const struct archive_question *question, archive_fn *fn,
                void *arg)
{
    struct span line;
    (void)archive;
    must(question->limit > 0, "some are asked for");
    if (!next_answer(&line)) {
        return -1;
    }
    bool more = line.len > 0 && line.ptr[0] == '+', failed = line.len > 0 && line.ptr[0] == '!';
    char *error = failed ? mem_dup(line) : NULL;
    struct archive_answer answer = {
        .error = error, .entries = span_skip(line, more ? 1 : 0), .more = more};
    fn(arg, &answer);
    free(error);
    free_answer(line);
    return 0;
}

/* ------------------------------------------------------------------------------------ a run */

enum { WORDS = 12 };

static char *const flags_of[][3] = {
    {(char[]){"j"}, (char[]){"--json"}, NULL},
    {(char[]){"w"}, (char[]){"--level"}, (char[]){"warn"}},
    {(char[]){"g"}, (char[]){"--grep"}, (char[]){"a+"}},
    {(char[]){"a"}, (char[]){"--since"}, (char[]){"10m"}},
};

/* Words of the operator's own. */
static void run_words(struct span head)
{
    char *args[WORDS] = {mem_dup(SPAN("muster")), mem_dup(SPAN("status"))};
    int status = 0;
    for (size_t count = 1; count + 1 < WORDS && head.len > 0; count++) {
        free(args[count]);
        args[count] = mem_dup(span_cut(&head, ' '));
    }
    terminal_run(args, &status);
    must(status >= 0 && status <= 2, "an exit code");
    terminal_help(args[1]);
    for (size_t i = 0; i < WORDS; i++) {
        free(args[i]);
    }
}

static bool read_args(struct span head, char *args[WORDS])
{
    static char watch[] = "--watch", postgres[] = "--postgres", uri[] = "postgresql://a",
                room[] = "--room=x";
    size_t count = 0;
    if (head.len == 0) {
        return false;
    }
    if (head.ptr[0] == 's') {
        args[count++] = watch;
    } else if (head.ptr[0] == 'p') {
        args[count++] = postgres;
        args[count++] = uri;
    } else {
        args[count++] = room;
    }
    for (size_t i = 0; i < (head.ptr[0] == 's' ? 1 : sizeof(flags_of) / sizeof(*flags_of)); i++) {
        if (memchr(head.ptr + 1, flags_of[i][0][0], head.len - 1) != NULL) {
            args[count++] = flags_of[i][1];
            if (flags_of[i][2] != NULL) {
                args[count++] = flags_of[i][2];
            }
        }
    }
    args[count] = NULL;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const cookie_io_functions_t calls = {.write = take};
    char *args[WORDS];
    answers = span_of(data, size);
    struct span head = span_cut(&answers, '\n');
    if (!read_args(head, args)) {
        return 0;
    }
    bool raw = memchr(head.ptr, 'j', head.len) != NULL; /* is for programs */
    FILE *out = stdout, *err = stderr;
    stdout = fopencookie(&shown, "w", calls);
    stderr = fopencookie(&said, "w", calls);
    if (head.ptr[0] == 'v') {
        run_words(span_skip(head, 1));
        raw = true;
    } else {
        int status = head.ptr[0] == 's' ? verb_status(args) : verb_tail(args);
        must(status >= 0 && status <= 2, "an exit code");
    }
    fclose(stdout);
    fclose(stderr);
    stdout = out;
    stderr = err;
    if (!raw) {
        check_shown(&shown);
    }
    if (head.ptr[0] != 'v') {
        check_shown(&said);
    }
    buf_free(&shown);
    buf_free(&said);
    return 0;
}
