/* SPDX-License-Identifier: MIT */
/* A lying server: a store over real sockets to a server in this process, which answers what a Redis would,
 * but where the input says otherwise. Whatever it says, each call is answered once and nothing breaks.
 *
 *     input = lie *   lie = which, length, bytes
 *
 * `which` is the number of the command that is answered so, with its top bit: bytes as they are, without:
 * as a string. The first byte of the input chooses who is asked: one server, that of a sentinel, a cluster, two of a
 * list, or lists of which one replaces the other; whether replicas are waited for; whether there are passwords and a database; and
 * whether more time passes. In bytes that go out as they are one of 127 is the port. */
#include "store/bus.h"
#include "store/history/history.h"
#include "store/inspect.h"
#include "store/lookup.h"
#include "store/redis/reply.h"
#include "store/redis/scripts.h"
#include "store/roster/roster.h"
#include "store/store_impl.h"
#include "store/stream.h"
#include "store/stream_read.h"

#include "store/base/list.h"
#include "store/base/resp.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    MOST_CONNS = 16,
    MOST_COMMANDS = 128,
    QUIET_TURNS = 3, /* without a byte: all is said */
    MOST_TURNS = 400,
    PERIODS = 4, /* of which much that is done again and again has one */
    PERIOD_MS = 600,
    RAW_LIE = 0x80,
    BY_SENTINEL = 1,
    BY_CLUSTER = 2,
    BY_LIST = 4,
    WITH_REPLICAS = 8,
    BY_CHANGE = 16, /* one server before, two of a list after */
    THE_PORT = 127,
    WITH_LOGIN = 32,
    FOR_LONG = 64,
    LONG_PERIODS = 12,
    LONG_MS = 4000,
};

struct peer {
    int fd;
    struct redis_replies *commands; /* commands have the form of replies */
    struct buf channel;             /* that it listens to */
    bool quiet;                     /* CLIENT REPLY SKIP: the next command has no answer */
};

static struct event_base *base;
static int listeners[2]; /* at two addresses */
static uint16_t port;
static struct peer peers[MOST_CONNS];
static struct span lies[MOST_COMMANDS];
static unsigned who;   /* is asked */
static unsigned asked; /* commands so far */
static int open_calls; /* that wait for their answer */
static unsigned moved; /* bytes in this turn */

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

/* ------------------------------------------------------------------------------------ the clock */

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

/* ------------------------------------------------------------------------------------ the server */

static int listen_at(uint32_t ip, uint16_t *at_port)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(ip), .sin_port = htons(*at_port)};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    must(bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, 64) == 0 &&
             getsockname(fd, (struct sockaddr *)&at, &len) == 0,
         "a port");
    *at_port = ntohs(at.sin_port);
    return fd;
}

static void listen_here(void)
{
    listeners[0] = listen_at(INADDR_LOOPBACK, &port);
    listeners[1] = listen_at(INADDR_LOOPBACK + 1, &port);
}

static void say(int fd, struct span bytes)
{
    moved += bytes.len > 0;
    while (bytes.len > 0) {
        ssize_t n = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n <= 0) {
            return;
        }
        bytes = span_skip(bytes, (size_t)n);
    }
}

static bool word_is(const redisReply *command, size_t i, const char *text)
{
    return command->type == REDIS_REPLY_ARRAY && command->elements > i &&
           command->element[i]->type == REDIS_REPLY_STRING &&
           span_eq_nocase(span_of(command->element[i]->str, command->element[i]->len),
                          span_str(text));
}

static struct span word_of(const redisReply *command, size_t i)
{
    return command->elements > i && command->element[i]->type == REDIS_REPLY_STRING
               ? span_of(command->element[i]->str, command->element[i]->len)
               : span_of(NULL, 0);
}

/* A message to the listeners of that channel. */
static void publish(struct span channel, struct span text, bool sharded)
{
    struct buf out = {0};
    resp_command(&out, 3);
    resp_word(&out, sharded ? SPAN("smessage") : SPAN("message"));
    resp_word(&out, channel);
    resp_word(&out, text);
    for (int i = 0; i < MOST_CONNS; i++) {
        if (peers[i].fd >= 0 && span_eq(buf_span(&peers[i].channel), channel)) {
            say(peers[i].fd, buf_span(&out));
        }
    }
    buf_free(&out);
}

static void subscribe(struct peer *peer, const redisReply *command, bool sharded, struct buf *out)
{
    for (size_t i = 1; i < command->elements; i++) {
        if (peer->channel.len == 0) { /* the link's own proof comes first */
            buf_append(&peer->channel, word_of(command, i));
        }
        resp_command(out, 3);
        resp_word(out, sharded ? SPAN("ssubscribe") : SPAN("subscribe"));
        resp_word(out, word_of(command, i));
        buf_printf(out, ":%zu\r\n", i);
    }
}

static bool runs(const redisReply *command, const struct redis_lua *lua)
{
    struct span word = word_of(command, 1);
    return span_eq(word, span_str(lua->sha)) || span_eq(word, span_str(lua->text)) ||
           (lua->fenced != NULL &&
            (span_eq(word, span_str(lua->fenced_sha)) || span_eq(word, span_str(lua->fenced))));
}

/* Partitions on their way, the verb behind the key: all is well, and there is little of it. */
static void answer_moves(const redisReply *command, struct buf *out)
{
    if (word_is(command, 4, "?")) {
        resp_word(out, SPAN("moving \n"));
    } else if (word_is(command, 4, "clear") || word_is(command, 4, "sweep")) {
        resp_word(out, SPAN("0"));
    } else if (word_is(command, 4, "take")) {
        resp_word(out, SPAN("0 0\n"));
    } else {
        resp_word(out, SPAN("1-1\n"));
    }
}

static void answer_script(const redisReply *command, struct buf *out)
{
    if (runs(command, &lua_roll)) {
        resp_word(out,
                  (who & BY_CHANGE) != 0 ? SPAN("+") : SPAN("+1 1 1 3")); /* who else is there */
    } else if (runs(command, &lua_stream_append)) {
        resp_word(out, SPAN("+ 0123456789abcdef - 1700000000000000 1 0 11"));
    } else if (runs(command, &lua_stream_state)) {
        resp_word(out, SPAN("0123456789abcdef -  1700000000000000 2 5 3 2\n\n"));
    } else if (runs(command, &lua_lookup)) {
        resp_word(out, SPAN("+x"));
    } else if (runs(command, &lua_moves)) {
        answer_moves(command, out);
    } else {
        resp_word(out, SPAN(""));
    }
}

static void tell_master(struct buf *out)
{
    resp_command(out, 2);
    resp_word(out, SPAN("127.0.0.1"));
    resp_number(out, port);
}

/* An entry of a lane, with its writer, and one of a node of long ago without. */
static void tell_lane(struct buf *out)
{
    resp_command(out, 2);
    for (int i = 0; i < 2; i++) {
        resp_command(out, 2);
        resp_word(out, i == 0 ? SPAN("1700000000000001-1") : SPAN("1700000000000002-2"));
        resp_command(out, i == 0 ? 4 : 2);
        resp_word(out, SPAN("t"));
        resp_word(out, SPAN("{}"));
        if (i == 0) {
            resp_word(out, SPAN("a-node"));
            resp_word(out, SPAN("7.1"));
        }
    }
}

/* XREAD COUNT n STREAMS key ... id ...: of the first key. */
static void tell_entries(const redisReply *command, struct buf *out)
{
    size_t at = 0;
    while (at < command->elements && !word_is(command, at, "STREAMS")) {
        at++;
    }
    resp_command(out, 1);
    resp_command(out, 2);
    resp_word(out, word_of(command, at + 1));
    tell_lane(out);
}

/* All slots are this server's. */
static void tell_cluster(const redisReply *command, struct buf *out)
{
    if (word_is(command, 1, "INFO")) {
        resp_word(out, SPAN("cluster_state:ok\r\n"));
    } else if (word_is(command, 1, "SLOTS")) {
        buf_printf(out, "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:%u\r\n", port);
    } else {
        buf_append(out, SPAN("-ERR unknown subcommand\r\n"));
    }
}

/* What a Redis would answer, about. */
static void answer(struct peer *peer, const redisReply *command, struct buf *out)
{
    bool sharded = word_is(command, 0, "SSUBSCRIBE") || word_is(command, 0, "SPUBLISH");
    if (word_is(command, 0, "SUBSCRIBE") || word_is(command, 0, "SSUBSCRIBE")) {
        subscribe(peer, command, sharded, out);
    } else if (word_is(command, 0, "PUBLISH") || word_is(command, 0, "SPUBLISH")) {
        buf_append(out, SPAN(":1\r\n"));
        publish(word_of(command, 1), word_of(command, 2), sharded);
    } else if (word_is(command, 0, "CLUSTER")) {
        tell_cluster(command, out);
    } else if (word_is(command, 0, "TIME")) {
        buf_append(out, SPAN("*2\r\n$10\r\n1700000000\r\n$1\r\n7\r\n"));
    } else if (word_is(command, 0, "WAIT")) {
        buf_append(out, SPAN(":1\r\n"));
    } else if (word_is(command, 0, "INFO")) {
        resp_word(out, SPAN("connected_slaves:1\r\nmaster_replid:"
                            "0123456789012345678901234567890123456789\r\n"));
    } else if (word_is(command, 0, "ROLE")) {
        buf_append(out, SPAN("*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"));
    } else if (word_is(command, 0, "SENTINEL")) {
        tell_master(out);
    } else if (word_is(command, 0, "EVALSHA") || word_is(command, 0, "EVAL")) {
        answer_script(command, out);
    } else if (word_is(command, 0, "HMGET")) {
        buf_append(out, SPAN("*5\r\n$1\r\na\r\n$1\r\n-\r\n$0\r\n\r\n$0\r\n\r\n$1\r\n1\r\n"));
    } else if (word_is(command, 0, "XREAD")) {
        tell_entries(command, out);
    } else if (word_is(command, 0, "XREVRANGE")) {
        tell_lane(out);
    } else if (word_is(command, 0, "GET") || word_is(command, 0, "GETEX")) {
        buf_append(out, SPAN("$1\r\nx\r\n"));
    } else {
        buf_append(out, SPAN("+OK\r\n"));
    }
}

static void put_raw(struct span bytes, struct buf *out)
{
    const char *at = memchr(bytes.ptr, THE_PORT, bytes.len);
    size_t before = at != NULL ? (size_t)(at - bytes.ptr) : bytes.len;
    buf_append(out, span_of(bytes.ptr, before));
    if (at != NULL) {
        buf_printf(out, "%u", port);
        buf_append(out, span_skip(bytes, before + 1));
    }
}

static void take_command(struct peer *peer, const redisReply *command)
{
    struct buf out = {0};
    struct span lie = asked < MOST_COMMANDS ? lies[asked] : span_of(NULL, 0);
    asked++;
    bool skips = word_is(command, 1, "REPLY") && word_is(command, 2, "SKIP");
    if (lie.len == 0) {
        answer(peer, command, &out);
        out.len = skips || peer->quiet ? 0 : out.len;
    } else if (((unsigned char)lie.ptr[0] & RAW_LIE) != 0) {
        put_raw(span_skip(lie, 2), &out);
    } else {
        resp_word(&out, span_skip(lie, 2));
    }
    peer->quiet = skips;
    say(peer->fd, buf_span(&out));
    buf_free(&out);
}

static void hang_up(struct peer *peer)
{
    if (peer->fd >= 0) {
        close(peer->fd);
        redis_replies_free(&peer->commands);
        buf_free(&peer->channel);
    }
    *peer = (struct peer){.fd = -1};
}

static void hear(struct peer *peer)
{
    static char bytes[64 * 1024];
    const redisReply *command;
    ssize_t n = recv(peer->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n == 0) {
        hang_up(peer);
        return;
    }
    if (n < 0) {
        return;
    }
    moved++;
    must(redisReaderFeed(redis_replies_reader(peer->commands), bytes, (size_t)n) == REDIS_OK,
         "fed");
    while (peer->fd >= 0 && redis_replies_next(peer->commands, &command) == 1) {
        take_command(peer, command);
        redis_replies_done(peer->commands);
    }
}

static void serve(void)
{
    for (int i = 0; i < MOST_CONNS; i++) {
        if (peers[i].fd < 0) {
            peers[i].fd = accept4(listeners[i % 2], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (peers[i].fd >= 0) {
                int on = 1;
                setsockopt(peers[i].fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
                peers[i].commands = redis_replies_new();
                moved++;
            }
        }
        if (peers[i].fd >= 0) {
            hear(&peers[i]);
        }
    }
}

/* Turns until all is said. */
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

/* ------------------------------------------------------------------------------------ the questions */

static void look(struct span bytes)
{
    unsigned sum = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        sum += (unsigned char)bytes.ptr[i]; /* a sanitizer sees what is not there */
    }
    must(sum != UINT32_MAX, "read");
}

static void on_lookup(void *arg, uint64_t tag, enum lookup_result result, struct span value)
{
    (void)arg, (void)tag, (void)result;
    look(value);
    open_calls--;
}

static void on_member(void *arg, enum roster_event event, const struct roster_member *member)
{
    (void)arg, (void)event;
    if (member != NULL) {
        look(member->name);
        look(member->value);
    }
}

static void on_bus(void *arg, enum bus_event event, struct span payload)
{
    (void)arg, (void)event;
    look(payload);
}

static void on_history(void *arg, enum history_event event, const struct history_entry *entry)
{
    (void)arg, (void)event;
    if (entry != NULL) {
        look(entry->value);
    }
}

static void on_appended(void *arg, uint64_t tag, bool done)
{
    (void)arg, (void)tag, (void)done;
    open_calls--;
}

static void on_entries(void *arg, uint64_t tag, bool ok, struct span entries)
{
    struct history_entry entry;
    (void)arg, (void)tag;
    while (ok && history_next(&entries, &entry)) {
        look(entry.value);
    }
    open_calls--;
}

static void on_stored(void *arg, const struct stream_result *result)
{
    (void)arg, (void)result;
    open_calls--;
}

static void on_read(void *arg, bool ok, const struct stream_head *head,
                    const struct stream_entry *entries, size_t count)
{
    (void)arg;
    for (size_t i = 0; ok && i < count; i++) {
        must(entries[i].lane == 1 || entries[i].lane == 3, "a lane that was asked for");
        look(entries[i].tag);
        look(entries[i].payload);
        look(entries[i].node);
    }
    if (ok) {
        look(head->was);
        look(head->forks);
    }
    open_calls--;
}

static void on_parts(void *arg, enum backend_answer answer, struct span reply)
{
    (void)arg, (void)answer;
    look(reply);
    open_calls--;
}

static void on_state(void *arg, const struct stream_state *state)
{
    (void)arg;
    if (state != NULL) {
        struct span writers = state->writers, node;
        uint64_t call;
        must(state->lanes <= STREAM_LANES_MOST, "lanes");
        while (stream_next_writer(&writers, &node, &call)) {
            look(node);
        }
    }
    open_calls--;
}

static void count(int begun)
{
    open_calls += begun == 0;
}

static void ask_stream(struct store *store)
{
    static const struct stream_item item = {1, {"t", 1}, {"{\"room\":\"t\"}", 12}};
    static const struct stream_from from[] = {{1, 5}, {3, 0}};
    static const struct stream_ask ask = {.keep = 10, .writers = true};
    count(stream_append(store, &item, 1, on_stored, NULL));
    count(stream_append(store, &item, 1, on_stored, NULL));
    count(stream_read(store, 0, from, 2, 10, on_read, NULL));
    count(stream_read_back(store, 0, 3, UINT64_MAX, 10, on_read, NULL));
    count(stream_state(store, 0, &ask, on_state, NULL));
    count(store->backend->ops->stream_parts(store->backend, 0, on_parts, NULL));
}

static void ask_lookup(struct store *store)
{
    const struct lookup_then then = {.fn = on_lookup};
    count(lookup_get(store, SPAN("k"), &then));
    count(lookup_touch(store, SPAN("k"), 1000, &then));
    count(lookup_add(store, SPAN("k"), SPAN("v"), 1000, &then));
    count(lookup_put(store, SPAN("k"), SPAN("v"), 1000, &then));
    count(lookup_swap(store, SPAN("k"), SPAN("v"), SPAN("w"), 1000, &then));
    count(lookup_delete(store, SPAN("k"), &then));
}

static void ask_history(struct store *store)
{
    const struct history_append append = {
        .key = SPAN("h"), .value = SPAN("said"), .most = 10, .fn = on_appended};
    count(history_append(store, &append));
    count(history_read(store, SPAN("h"), 0, 10, on_entries, NULL, 1));
}

static void on_server(void *arg, const struct store_server *server)
{
    (void)arg;
    look(server->info);
    must(server->name == NULL || server->name[0] != '\0', "a name");
}

static void ask_about(struct store *store)
{
    struct buf map = {0};
    store_inspect(store, on_server, NULL);
    store_print_map(store, &map);
    store_print_away(store, &map);
    store_print_change(store, &map);
    look(buf_span(&map));
    buf_free(&map);
}

static void ask_all(struct store *store)
{
    struct roster_watch *watch = roster_watch(store, SPAN("r"), on_member, NULL);
    struct bus_sub *sub = bus_subscribe(store, SPAN("b"), BUS_ECHO, on_bus, NULL);
    struct history_watch *heard = history_watch(store, SPAN("h"), on_history, NULL);
    settle();
    roster_claim(store, SPAN("r"), SPAN("m"), SPAN("v"));
    ask_stream(store);
    ask_lookup(store);
    ask_history(store);
    bus_publish(store, SPAN("b"), SPAN("p"));
    ask_about(store);
    settle();
    bool long_run = (who & FOR_LONG) != 0;
    for (int i = 0; i < (long_run ? LONG_PERIODS : PERIODS); i++) {
        ahead_ms += long_run ? LONG_MS : PERIOD_MS;
        settle();
    }
    roster_release(store, SPAN("r"), SPAN("m"));
    settle();
    roster_unwatch(&watch);
    bus_unsubscribe(&sub);
    history_unwatch(&heard);
}

/* ------------------------------------------------------------------------------------ a run */

static void read_lies(struct span data)
{
    memset(lies, 0, sizeof(lies));
    while (data.len > 2) {
        size_t len = (unsigned char)data.ptr[1];
        len = len + 2 < data.len ? len + 2 : data.len;
        lies[(unsigned char)data.ptr[0] % MOST_COMMANDS] = span_of(data.ptr, len);
        data = span_skip(data, len);
    }
}

static void print_url(char *url, size_t size)
{
    bool logs_in = (who & WITH_LOGIN) != 0;
    const char *login = logs_in ? (who & WITH_REPLICAS) != 0 ? "user:pass@" : ":pass@" : "";
    if ((who & BY_CLUSTER) != 0) {
        snprintf(url, size, "redis+cluster://%s127.0.0.1:%u%s", login, port,
                 logs_in ? ",127.0.0.2:1" : "");
    } else if ((who & BY_CHANGE) != 0) {
        snprintf(url, size, "redis://%s127.0.0.1:%u;redis://127.0.0.1:%u,redis://127.0.0.2:%u",
                 login, port, port, port);
    } else if ((who & BY_LIST) != 0) {
        snprintf(url, size, "redis://127.0.0.1:%u,redis://%s127.0.0.2:%u", port, login, port);
    } else if ((who & BY_SENTINEL) != 0) {
        snprintf(url, size, "redis+sentinel://%s127.0.0.1:%u,127.0.0.2:%u/name%s", login, port,
                 logs_in ? port : 1, logs_in ? "?db=3&sentinel-pass=p" : "");
    } else {
        snprintf(url, size, "redis://%s127.0.0.1:%u%s", login, port, logs_in ? "/3" : "");
    }
}

static struct store *open_store(void)
{
    char url[160], error[256];
    print_url(url, sizeof(url));
    const struct store_options options = {.base = base,
                                          .url = url,
                                          .prefix = "f",
                                          .node = "node",
                                          .lease_ms = 10000,
                                          .replicas = (who & WITH_REPLICAS) != 0};
    struct store *store = store_open(&options, error, sizeof(error));
    must(store != NULL, error);
    stream_setup(store, &(struct stream_limits){.lanes = 4, .entries = 100});
    return store;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (base == NULL) {
        base = event_base_new();
        listen_here();
        for (int i = 0; i < MOST_CONNS; i++) {
            peers[i].fd = -1;
        }
    }
    if (size == 0) {
        return 0;
    }
    who = data[0];
    asked = 0;
    open_calls = 0;
    read_lies(span_of(data + 1, size - 1));
    struct store *store = open_store();
    settle();
    ask_all(store);
    must(open_calls >= 0, "no call is answered twice");
    store_close(&store);
    settle();
    for (int i = 0; i < MOST_CONNS; i++) {
        hang_up(&peers[i]);
    }
    return 0;
}
