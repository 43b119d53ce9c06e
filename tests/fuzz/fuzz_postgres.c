/* SPDX-License-Identifier: MIT */
/* A lying PostgreSQL: a server in this process that answers as one would, but where the input says otherwise. Whatever
 * it says, each question is answered once, and nothing breaks, hangs or grows.
 *
 * The first byte of the input says who asks: 'a' for stored lines, 'i' what the server is, 'f' whose stream it has, 'm'
 * which migrations are missing, 'M' to apply them, 's' a sink of what it is fed, 'S' one of a stream; 'u' is a URI instead,
 * whose names are looked up. Each line behind it is an answer: a letter ('A' for the first question), and
 *
 *     r VALUES   rows, '|' between them, TAB between values, '~' for null      n   no rows
 *     e CODE     an error of five letters of SQLSTATE, its text behind        c   done, without rows
 *     g, o, w    a copy in, out, both ways                                    z   only that it is ready
 *     b BYTES    these bytes                                                  h   it hangs up
 *     x          an error that says nothing                                   q   nothing
 *     k          a row without columns
 *
 * In place of the letter '@': bytes of the greeting. */
#include "store/archive/archive.h"
#include "store/postgres/hosts.h"
#include "store/postgres/inspect.h"
#include "store/postgres/migrate.h"
#include "store/sink/sink.h"
#include "store/store.h"
#include "store/stream.h"

#include "store/base/mem.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    MOST_CONNS = 8,
    MOST_QUESTIONS = 64,
    QUIET_TURNS = 3,
    PATIENCE = 20, /* looks of one that waits with a limit */
    MOST_TURNS = 300,
    PERIODS = 10,
    PERIOD_MS = 700,
    LONG_MS = 61000, /* in which what is done once a minute is done */
    FED = 5,
    MOST_ENTRIES = 20, /* of the stream; some more were there before the sink */
    SSL_REQUEST = 80877103,
    GSS_REQUEST = 80877104,
};

struct session {
    int fd;
    struct buf in, sql;
    bool greeted, copies;
};

static struct event_base *base;
static int listener = -1;
static uint16_t port;
static struct session sessions[MOST_CONNS];
static struct span lies[MOST_QUESTIONS], greeting;
static unsigned asked, upkeeps, moved;
static int open_calls;

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

/* ------------------------------------------------------------------------------------ what is there of the system */

static uint64_t ahead_ms;

/* In place of the C library's: time also passes when the target says so. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
    int rc = (int)syscall(SYS_clock_gettime, clock, now);
    if (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE) {
        uint64_t ns = (uint64_t)now->tv_nsec + ahead_ms % 1000 * 1000000U;
        now->tv_sec += (time_t)(ahead_ms / 1000 + ns / 1000000000U);
        now->tv_nsec = (long)(ns % 1000000000U);
    }
    return rc;
}

/* Names have as many addresses as their first letter says, from 'a' for none. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **)&next = dlsym(RTLD_NEXT, "getaddrinfo");
    struct in6_addr ip;
    bool digits = node == NULL || inet_pton(AF_INET, node, &ip) == 1 ||
                  inet_pton(AF_INET6, node, &ip) == 1 || node[0] == '/';
    if (digits) {
        return next(node, service, hints, out);
    }
    struct addrinfo *all = NULL;
    for (char at = 'a'; at < node[0] && at <= 'z'; at++) {
        char text[32];
        struct addrinfo *one = NULL;
        snprintf(text, sizeof(text), at % 2 == 0 ? "10.0.0.%d" : "fd00::%d", at);
        if (next(text, service, hints, &one) == 0) {
            struct addrinfo *last = one;
            while (last->ai_next != NULL) {
                last = last->ai_next;
            }
            last->ai_next = all;
            all = one;
        }
    }
    *out = all;
    return all != NULL ? 0 : EAI_NONAME;
}

/* ------------------------------------------------------------------------------------ messages */

static void put_number(struct buf *out, uint32_t number, size_t bytes)
{
    for (size_t i = bytes; i-- > 0;) {
        buf_append(out, span_of(&(char){(char)(number >> 8 * i)}, 1));
    }
}

static void put_message(struct buf *out, char type, struct span body)
{
    buf_append(out, span_of(&type, 1));
    put_number(out, (uint32_t)body.len + 4, 4);
    buf_append(out, body);
}

static void put_text(struct buf *out, const char *text)
{
    buf_append(out, span_of(text, strlen(text) + 1));
}

static void put_done(struct buf *out, const char *tag)
{
    put_message(out, 'C', span_of(tag, strlen(tag) + 1));
    put_message(out, 'Z', SPAN("I"));
}

static size_t count_fields(struct span row)
{
    size_t count = 0;
    do {
        span_cut(&row, '\t');
        count++;
    } while (row.ptr != NULL && row.len > 0);
    return count;
}

static void put_head(struct buf *out, struct span row)
{
    struct buf body = {0};
    size_t fields = count_fields(row);
    put_number(&body, (uint32_t)fields, 2);
    for (size_t i = 0; i < fields; i++) {
        put_text(&body, "f");
        put_number(&body, 0, 4);
        put_number(&body, 0, 2);
        put_number(&body, 25, 4); /* text */
        put_number(&body, 0xffff, 2);
        put_number(&body, 0xffffffff, 4);
        put_number(&body, 0, 2);
    }
    put_message(out, 'T', buf_span(&body));
    buf_free(&body);
}

static void put_row(struct buf *out, struct span row)
{
    struct buf body = {0};
    size_t fields = count_fields(row);
    put_number(&body, (uint32_t)fields, 2);
    for (size_t i = 0; i < fields; i++) {
        struct span value = span_cut(&row, '\t');
        bool null = span_eq(value, SPAN("~"));
        put_number(&body, null ? 0xffffffff : (uint32_t)value.len, 4);
        buf_append(&body, null ? span_of(NULL, 0) : value);
    }
    put_message(out, 'D', buf_span(&body));
    buf_free(&body);
}

static void put_rows(struct buf *out, struct span rows)
{
    struct span all = rows, first = span_cut(&rows, '|');
    put_head(out, first);
    while (all.len > 0) {
        put_row(out, span_cut(&all, '|'));
    }
    put_done(out, "SELECT 1");
}

static void put_error(struct buf *out, struct span text)
{
    struct buf body = {0};
    char code[6] = "XX000";
    memcpy(code, text.ptr, text.len < 5 ? text.len : 5);
    buf_append(&body, SPAN("SERROR"));
    put_number(&body, 0, 1);
    buf_append(&body, SPAN("C"));
    put_text(&body, code);
    buf_append(&body, SPAN("M"));
    buf_append(&body, span_skip(text, text.len < 5 ? text.len : 5));
    put_number(&body, 0, 2);
    put_message(out, 'E', buf_span(&body));
    put_message(out, 'Z', SPAN("I"));
    buf_free(&body);
}

/* ------------------------------------------------------------------------------------ a server */

static void say(const struct session *session, struct span bytes)
{
    moved += bytes.len > 0;
    while (bytes.len > 0) {
        ssize_t n = send(session->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n <= 0) {
            return;
        }
        bytes = span_skip(bytes, (size_t)n);
    }
}

static void hang_up(struct session *session)
{
    if (session->fd >= 0) { /* with a reset, which leaves no port in use */
        setsockopt(session->fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0},
                   sizeof(struct linger));
        close(session->fd);
        moved++;
    }
    buf_free(&session->in);
    buf_free(&session->sql);
    *session = (struct session){.fd = -1};
}

static void put_setting(struct buf *out, const char *name, const char *value)
{
    struct buf body = {0};
    put_text(&body, name);
    put_text(&body, value);
    put_message(out, 'S', buf_span(&body));
    buf_free(&body);
}

static void greet(struct session *session)
{
    struct buf out = {0};
    session->greeted = true;
    if (greeting.len > 0) {
        say(session, greeting);
        return;
    }
    put_message(&out, 'R', span_of("\0\0\0\0", 4));
    put_setting(&out, "server_version", "16.1");
    put_setting(&out, "server_encoding", "UTF8");
    put_setting(&out, "client_encoding", "UTF8");
    put_setting(&out, "standard_conforming_strings", "on");
    put_setting(&out, "in_hot_standby", "off");
    put_setting(&out, "default_transaction_read_only", "off");
    put_message(&out, 'K', span_of("\0\0\0\1\0\0\0\2", 8));
    put_message(&out, 'Z', SPAN("I"));
    say(session, buf_span(&out));
    buf_free(&out);
}

static bool asks_for(const struct session *session, const char *words)
{
    struct span sql = buf_span(&session->sql);
    return memmem(sql.ptr, sql.len, words, strlen(words)) != NULL;
}

/* As one of a sound fleet would. */
static void answer(struct session *session, struct buf *out)
{
    static const struct usual {
        const char *words, *rows;
    } usual[] = {
        {"server_version_num'), current", "160001\t16.1\t1700000000000000\t\t\t100"},
        {"log upkeep", "t\towner"},
        {"pg_locks l", "1\t0\t2\tf\t7"},
        {"select seq_number, ordinal", "0\t0\t\t\t~"},
        {"log_stream_take", "t"},
        {"pg_try_advisory_lock", "t"},
        {"identity not in", "f"},
        {"pg_is_in_recovery(), current_setting", "f\tf"},
        {"to_regclass('muster_migration')", "t"},
        {"log_partitions_due", "1"},
        {"log_partition_drop", "2"},
        {"json_agg", "[{\"msg\":\"x\"}]\t1\t1\t5\t6"},
    };
    if (asks_for(session, "from stdin")) {
        session->copies = true;
        put_message(out, 'G', span_of("\1\0\0", 3));
        return;
    }
    if (asks_for(session, "from log_upkeep") && upkeeps++ % 2 == 0) {
        put_rows(out, SPAN("create index"));
        return;
    }
    for (size_t i = 0; i < sizeof(usual) / sizeof(*usual); i++) {
        if (asks_for(session, usual[i].words)) {
            put_rows(out, span_str(usual[i].rows));
            return;
        }
    }
    put_done(out, "SELECT 0");
}

static void lie(struct session *session, struct span text, struct buf *out)
{
    struct span rest = span_skip(text, 1);
    switch (text.ptr[0]) {
    case 'r':
        put_rows(out, rest);
        break;
    case 'n':
        put_head(out, SPAN("a\tb"));
        put_done(out, "SELECT 0");
        break;
    case 'e':
        put_error(out, rest);
        break;
    case 'x':
        put_message(out, 'E', span_of("\0", 1));
        put_message(out, 'Z', SPAN("I"));
        break;
    case 'g':
    case 'o':
    case 'w':
        session->copies = text.ptr[0] == 'g';
        put_message(out,
                    text.ptr[0] == 'g'   ? 'G'
                    : text.ptr[0] == 'o' ? 'H'
                                         : 'W',
                    span_of("\0\0\0", 3));
        break;
    case 'k':
        put_message(out, 'T', span_of("\0\0", 2));
        put_message(out, 'D', span_of("\0\0", 2));
        put_done(out, "SELECT 1");
        break;
    case 'z':
        put_message(out, 'Z', SPAN("I"));
        break;
    case 'b':
        buf_append(out, rest);
        break;
    case 'q':
        break;
    default:
        put_done(out, "SELECT 0");
        break;
    }
}

static void take_question(struct session *session, bool extended)
{
    struct buf out = {0};
    struct span text = asked < MOST_QUESTIONS ? lies[asked] : span_of(NULL, 0);
    asked++;
    if (extended) {
        put_message(&out, '1', span_of(NULL, 0));
        put_message(&out, '2', span_of(NULL, 0));
    }
    if (text.len == 0) {
        answer(session, &out);
    } else {
        lie(session, text, &out);
    }
    say(session, buf_span(&out));
    buf_free(&out);
    if (text.len > 0 && text.ptr[0] == 'h') {
        hang_up(session);
    }
}

static void keep_sql(struct session *session, struct span text)
{
    session->sql.len = 0;
    buf_append(&session->sql, text);
}

static void take_message(struct session *session, char type, struct span body)
{
    struct buf out = {0};
    if (type == 'Q') {
        keep_sql(session, body);
        take_question(session, false);
    } else if (type == 'P') {
        keep_sql(session, body);
    } else if (type == 'S') {
        take_question(session, true);
    } else if (type == 'c' && session->copies) {
        session->copies = false;
        put_done(&out, "COPY 1");
        say(session, buf_span(&out));
    } else if (type == 'X') {
        hang_up(session);
    }
    buf_free(&out);
}

static size_t length_at(struct span text)
{
    const unsigned char *at = (const unsigned char *)text.ptr;
    return (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
}

/* Takes a whole message from the front. */
static bool take_next(struct session *session)
{
    struct span in = buf_span(&session->in);
    size_t head = session->greeted ? 1 : 0;
    if (in.len < head + 8 - 4 * head || in.len < head + length_at(span_skip(in, head))) {
        return false;
    }
    size_t len = length_at(span_skip(in, head));
    struct span body = span_of(in.ptr + head + 4, len - 4);
    char type = in.ptr[0];
    struct buf copy = {0};
    buf_append(&copy, body);
    memmove(session->in.ptr, in.ptr + head + len, in.len - head - len);
    session->in.len -= head + len;
    size_t code = copy.len >= 4 && !session->greeted ? length_at(buf_span(&copy)) : 0;
    if (session->greeted) {
        take_message(session, type, buf_span(&copy));
    } else if (code == SSL_REQUEST || code == GSS_REQUEST) {
        say(session, SPAN("N"));
    } else {
        greet(session);
    }
    buf_free(&copy);
    return session->fd >= 0;
}

static void hear(struct session *session)
{
    ssize_t n = recv(session->fd, buf_room(&session->in, 64 * 1024), 64 * 1024, MSG_DONTWAIT);
    if (n == 0) {
        hang_up(session);
    } else if (n > 0) {
        moved++;
        buf_grew(&session->in, (size_t)n);
        while (session->fd >= 0 && take_next(session)) {
        }
    }
}

static void serve(void)
{
    for (int i = 0; i < MOST_CONNS; i++) {
        if (sessions[i].fd < 0) {
            sessions[i].fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
            moved += sessions[i].fd >= 0;
        }
        if (sessions[i].fd >= 0) {
            hear(&sessions[i]);
        }
    }
}

/* In place of the C library's, for what waits inside libpq: the server has its turn, and one that says
 * nothing hangs up in the end. */
int poll(struct pollfd *fds, nfds_t count, int limit_ms)
{
    static unsigned silent;
    struct timespec none = {0};
    for (int quiet = 0; quiet < QUIET_TURNS; quiet++) {
        moved = 0;
        if (listener >= 0) {
            serve();
        }
        long rc = syscall(SYS_ppoll, fds, count, &none, NULL, 0);
        if (rc != 0) {
            silent = 0;
            return (int)rc;
        }
        quiet = moved > 0 ? -1 : quiet;
    }
    bool ends = limit_ms < 0 || ++silent > PATIENCE;
    for (int i = 0; i < MOST_CONNS && ends; i++) {
        hang_up(&sessions[i]);
    }
    return (int)syscall(SYS_ppoll, fds, count, &none, NULL, 0);
}

static void listen_here(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    must(bind(listener, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(listener, 64) == 0 &&
             getsockname(listener, (struct sockaddr *)&at, &len) == 0,
         "a port");
    port = ntohs(at.sin_port);
    for (int i = 0; i < MOST_CONNS; i++) {
        sessions[i].fd = -1;
    }
}

static void settle(void)
{
    int quiet = 0;
    for (int turn = 0; turn < MOST_TURNS && quiet < QUIET_TURNS; turn++) {
        moved = 0;
        event_base_loop(base, EVLOOP_NONBLOCK);
        serve();
        quiet = moved == 0 ? quiet + 1 : 0;
    }
}

static void pass(unsigned periods, uint64_t ms)
{
    for (unsigned i = 0; i < periods; i++) {
        ahead_ms += ms;
        settle();
    }
}

/* ------------------------------------------------------------------------------------ who asks */

static void look(struct span bytes)
{
    unsigned sum = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        sum += (unsigned char)bytes.ptr[i]; /* a sanitizer sees what is not there */
    }
    must(sum != UINT32_MAX, "read");
}

static void on_lines(void *arg, const struct archive_answer *told)
{
    (void)arg;
    must(told->error == NULL || told->error[0] != '\0', "words");
    look(told->entries);
    open_calls--;
}

static void ask_archive(const char *uri)
{
    struct archive *archive = archive_new(base, uri, "fuzz");
    const struct archive_question question = {.limit = 10, .levels = ~0U};
    for (int i = 0; i < 3; i++) {
        open_calls += archive_ask(archive, &question, on_lines, NULL) == 0;
        settle();
        pass(2, PERIOD_MS);
    }
    must(open_calls >= 0, "no call is answered twice");
    pass(2, LONG_MS);
    archive_free(&archive);
}

static void ask_at_once(char kind, const char *uri)
{
    char error[300] = "";
    struct postgres_facts facts = {0};
    int rc = 0;
    if (kind == 'i') {
        rc = postgres_inspect(uri, &facts, error, sizeof(error));
        look(span_str(facts.version));
        look(span_str(facts.missing));
        look(span_str(facts.alone));
    } else if (kind == 'f') {
        rc = sink_is_foreign(uri, "stream", "identity", "was", error, sizeof(error));
    } else if (kind == 'm') {
        rc = migrate_check(uri, error, sizeof(error));
    } else {
        rc = migrate_run(uri, 0, &(struct migrate_observer){0}, error, sizeof(error));
    }
    must(rc >= -1 && rc < 1000, "an answer");
    must(rc != -1 || error[0] != '\0', "or why there is none");
}

static bool put_item(void *arg, const struct sink_item *item, struct buf *row, const char **reason)
{
    (void)arg;
    look(item->payload);
    buf_append(row, item->payload);
    *reason = "refused";
    return item->payload.len % 2 == 0;
}

static void on_said(void *arg, bool bad, const char *what, const char *text)
{
    (void)arg, (void)bad;
    look(span_str(what));
    look(span_str(text));
}

static void on_stopped(void *arg)
{
    *(bool *)arg = true;
}

static void on_stored(void *arg, const struct stream_result *result)
{
    (void)arg, (void)result;
}

static void feed(struct store *store, struct sink *sink, uint64_t number)
{
    static const char *const payloads[] = {"{\"a\":1}x", "{\"odd\":1}", "{}"};
    struct span payload = span_str(payloads[number % 3]);
    if (store != NULL) {
        const struct stream_item item = {number % 2, SPAN("t"), payload};
        if (stream_append(store, &item, 1, on_stored, NULL) != 0) {
            return;
        }
    } else {
        const struct sink_item item = {.seq = number,
                                       .ordinal = number,
                                       .time_us = (int64_t)number * 1000000000000,
                                       .payload = payload,
                                       .node = SPAN("n"),
                                       .call = number};
        sink_feed(sink, &item);
    }
}

static struct store *open_store(void)
{
    char error[256];
    const struct store_options options = {
        .base = base, .url = "memory:", .prefix = "f", .node = "n", .lease_ms = 10000};
    struct store *store = store_open(&options, error, sizeof(error));
    must(store != NULL, error);
    stream_setup(store, &(struct stream_limits){.lanes = 2, .entries = MOST_ENTRIES});
    return store;
}

static void run_sink(const char *uri, bool streams)
{
    bool stopped = false;
    struct store *store = streams ? open_store() : NULL;
    for (uint64_t i = 0; i < MOST_ENTRIES + FED && streams; i++) {
        feed(store, NULL, i);
    }
    const struct sink_options options = {.base = base,
                                         .store = store,
                                         .uri = uri,
                                         .stream = "fuzz",
                                         .lanes = streams ? 2 : 1,
                                         .rows = 3,
                                         .bytes = 1000,
                                         .parallel = 2,
                                         .age_ms = 100,
                                         .keep = 2,
                                         .retention_days = 5,
                                         .codec = {"log_entry", put_item, NULL},
                                         .say = on_said};
    struct sink *sink = sink_new(&options);
    settle();
    for (uint64_t i = 1; i <= FED; i++) {
        feed(store, sink, i);
        pass(PERIODS / FED, PERIOD_MS);
    }
    pass(2, LONG_MS);
    feed(store, sink, FED + 1);
    feed(store, sink, FED + 2);
    pass(PERIODS, PERIOD_MS);
    must(sink_stats(sink)->lanes <= 64, "no more lanes than there may be");
    sink_unready(sink);
    struct postgres_server server;
    if (sink_server(sink, &server)) {
        look(span_str(server.version));
    }
    sink_stop(sink, PERIOD_MS, on_stopped, &stopped);
    pass(3, PERIOD_MS);
    must(stopped, "it ends in time");
    sink_free(&sink);
    store_close(&store);
}

/* ------------------------------------------------------------------------------------ names */

static bool placed;

static size_t count_words(const char *list)
{
    size_t count = 1;
    for (; *list != '\0'; list++) {
        count += *list == ',';
    }
    return count;
}

static void on_place(void *arg, const struct postgres_place *place, const char *why)
{
    (void)arg;
    must(place != NULL || why[0] != '\0', "a place, or why there is none");
    if (place != NULL && place->host != NULL) {
        must(count_words(place->host) == count_words(place->hostaddr), "an address for each host");
        must(count_words(place->host) == count_words(place->port), "and a port");
    }
    placed = true;
}

static void look_up(const char *uri)
{
    char error[300] = "";
    int rc = postgres_check_uri(uri, error, sizeof(error));
    must((rc == 0) == (error[0] == '\0'), "a URI, or what is wrong with it");
    struct resolver *resolver = resolver_new(base);
    struct postgres_hosts *hosts = postgres_hosts_new(resolver, on_place, NULL);
    for (int round = 0; round < 3; round++) {
        placed = false;
        postgres_hosts_ask(hosts, uri);
        must(placed != postgres_hosts_are_asked(hosts), "it is answered, or asked");
        for (int turn = 0; turn < 2000 && !placed && round < 2; turn++) {
            usleep(50); /* threads look names up */
            event_base_loop(base, EVLOOP_NONBLOCK);
        }
        postgres_hosts_turn(hosts);
    }
    postgres_hosts_cancel(hosts);
    postgres_hosts_free(&hosts);
    resolver_free(&resolver);
}

/* ------------------------------------------------------------------------------------ a run */

static void read_lies(struct span data)
{
    memset(lies, 0, sizeof(lies));
    greeting = span_of(NULL, 0);
    while (data.len > 0) {
        struct span line = span_cut(&data, '\n');
        if (line.len > 1 && line.ptr[0] == '@') {
            greeting = span_skip(line, 1);
        } else if (line.len > 1) {
            lies[(unsigned char)(line.ptr[0] - 'A') % MOST_QUESTIONS] = span_skip(line, 1);
        }
    }
}

static void ask(char kind)
{
    char uri[120];
    snprintf(uri, sizeof(uri),
             "postgresql://u@127.0.0.1:%u/d?sslmode=disable&gssencmode=disable&connect_timeout=2",
             port);
    if (kind == 'a') {
        ask_archive(uri);
    } else if (kind == 's' || kind == 'S') {
        run_sink(uri, kind == 'S');
    } else {
        ask_at_once(kind, uri);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (base == NULL) {
        signal(SIGPIPE, SIG_IGN);
        base = event_base_new();
        listen_here();
    }
    if (size == 0 || memchr("aifmMsSu", data[0], 8) == NULL) {
        return 0;
    }
    asked = upkeeps = 0;
    open_calls = 0;
    if (data[0] == 'u') {
        char *uri = mem_dup(span_of((const char *)data + 1, size - 1));
        look_up(uri);
        free(uri);
    } else {
        read_lies(span_of(data + 1, size - 1));
        ask((char)data[0]);
    }
    settle();
    for (int i = 0; i < MOST_CONNS; i++) {
        hang_up(&sessions[i]);
    }
    return 0;
}
