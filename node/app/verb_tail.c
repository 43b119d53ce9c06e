/* SPDX-License-Identifier: MIT */
/* muster tail: log lines as they come, from any node. A lost link is built again, with back-off; what came
 * meanwhile is asked for, and nothing is printed twice. With --postgres those that are stored. */
#include "node/app/verb_tail.h"
#include "node/app/terminal.h"
#include "node/proto/ws/client.h"
#include "store/base/clock.h"
#include "store/base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { TAIL_BACKLOG_MOST = 10000, TAIL_MESSAGE_MOST = 16 * 1024 * 1024 };

static const char *const levels[] = {"trace", "debug", "info", "warn", "error", "fatal"};
enum { TAIL_LEVELS = sizeof(levels) / sizeof(*levels), TAIL_INFO = 2 };

/* ------------------------------------------------------------------------------------ a line */

static int level_of(const char *word)
{
    static const struct level_alias {
        const char *name;
        int level;
    } others[] = {{"warning", 3}, {"err", 4},   {"critical", 5},
                  {"crit", 5},    {"panic", 5}, {"verbose", 0}};
    for (int i = 0; i < TAIL_LEVELS; i++) {
        if (strcasecmp(word, levels[i]) == 0) {
            return i;
        }
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        if (strcasecmp(word, others[i].name) == 0) {
            return others[i].level;
        }
    }
    return TAIL_INFO;
}

static const char *word_of(const json_t *entry, const char *name)
{
    const char *text = json_string_value(json_object_get(entry, name));
    return text != NULL ? text : "";
}

/* New, for free(); NULs, which JSON can have, as blanks. */
static char *copy_of(const json_t *string)
{
    char *copy = mem_dup(span_of(json_string_value(string), json_string_length(string)));
    for (size_t i = 0; i < json_string_length(string); i++) {
        copy[i] = copy[i] != '\0' ? copy[i] : ' ';
    }
    return copy;
}

/* The message as text: of what is none, its JSON. For free(). */
static char *message_of(const json_t *entry)
{
    json_t *value = json_object_get(entry, "msg");
    value = value == NULL || json_is_null(value) ? json_object_get(entry, "text") : value;
    if (value == NULL) {
        return mem_dup(SPAN(""));
    }
    return json_is_string(value) ? copy_of(value)
                                 : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
}

static uint64_t time_of(const json_t *entry)
{
    json_t *value = json_object_get(entry, "serverTime");
    if (!json_is_number(value)) {
        value = json_object_get(entry, "timestamp");
    }
    return terminal_number(json_number_value(value));
}

static bool passes(const struct tailing *tail, const json_t *entry, const char *message)
{
    if (level_of(word_of(entry, "level")) < tail->least || time_of(entry) < tail->from_ms) {
        return false;
    }
    return !tail->has_pattern || regexec(&tail->pattern, message, 0, NULL, 0) == 0 ||
           regexec(&tail->pattern, word_of(entry, "user"), 0, NULL, 0) == 0;
}

static void print_time(uint64_t ms)
{
    struct tm then = terminal_time(ms, true);
    char text[40];
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &then);
    printf("%s.%03uZ ", text, (unsigned)(ms % 1000));
}

static void print_word(const char *before, const char *word, const char *after)
{
    if (word[0] != '\0') {
        printf("%s", before);
        terminal_print(word, strlen(word), 0);
        printf("%s", after);
    }
}

static void print_entry(const struct tailing *tail, const json_t *entry, const char *message)
{
    static const char *const colours[TAIL_LEVELS] = {"\033[2m",  "\033[2m",  "",
                                                     "\033[33m", "\033[31m", "\033[1;31m"};
    bool coloured = terminal_has_colours();
    const char *level = word_of(entry, "level");
    if (tail->json) {
        char *text = json_dumps(entry, JSON_COMPACT | JSON_PRESERVE_ORDER);
        printf("%s\n", text);
        free(text);
        return;
    }
    print_time(time_of(entry));
    printf("%s%-5.10s%s ", coloured ? colours[level_of(level)] : "",
           level[0] != '\0' ? levels[level_of(level)] : "info", coloured ? "\033[0m" : "");
    print_word("", word_of(entry, "user"), " ");
    print_word("[", word_of(entry, "room"), "] ");
    terminal_print(message, strlen(message), 31);
    printf("\n");
}

void verb_tail_show(const struct tailing *tail, const json_t *entry)
{
    if (!json_is_object(entry)) {
        return;
    }
    char *message = message_of(entry);
    if (passes(tail, entry, message)) {
        print_entry(tail, entry, message);
    }
    free(message);
}

/* Lines of two lanes come in any order: a number that is not the greatest may be new. */
static bool is_seen(const struct tailing *tail, uint64_t seq)
{
    for (size_t i = 0; i < VERB_TAIL_SEEN; i++) {
        if (tail->seen[i] == seq) {
            return true;
        }
    }
    return false;
}

static void take(struct tailing *tail, const json_t *entry)
{
    uint64_t seq = terminal_number(json_number_value(json_object_get(entry, "seqNumber")));
    if (seq == 0 || seq > tail->last || !is_seen(tail, seq)) {
        tail->last = seq > tail->last ? seq : tail->last;
        tail->seen[tail->next++ % VERB_TAIL_SEEN] = seq;
        verb_tail_show(tail, entry);
    }
}

/* ------------------------------------------------------------------------------------ the link */

static void on_message(void *arg, struct span text)
{
    struct tailing *tail = arg;
    json_error_t wrong;
    json_t *entries = json_loadb(text.ptr, text.len, JSON_ALLOW_NUL, &wrong), *entry;
    size_t i;
    json_array_foreach(entries, i, entry)
    {
        take(tail, entry);
    }
    json_decref(entries);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        event_base_loopbreak(tail->base); /* the reader of stdout has closed it */
    }
}

static void on_open(void *arg)
{
    struct tailing *tail = arg;
    if (tail->is_down) {
        fprintf(stderr, "muster tail: connected again\n");
    }
    tail->was_open = true;
    tail->is_down = false;
}

static void on_down(void *arg, const char *why)
{
    struct tailing *tail = arg;
    if (!tail->is_down) {
        fprintf(stderr, "muster tail: %s: trying again: ", tail->http);
        terminal_complain(why, strlen(why));
    }
    tail->is_down = true;
    if (!tail->was_open && strstr(why, "401") != NULL) {
        fprintf(stderr, "muster tail: it wants its token (--token)\n");
        tail->failed = true;
        event_base_loopbreak(tail->base);
    }
}

/* After a loss all that the stream may have is asked for; what was printed is known by its number. */
static const char *on_query(void *arg)
{
    struct tailing *tail = arg;
    bool much = tail->last > 0 || tail->since_ms > 0;
    tail->query.len = 0;
    buf_printf(&tail->query, "backlog=%d", much ? TAIL_BACKLOG_MOST : VERB_TAIL_LINES);
    for (const char *at = tail->room; at == tail->room && *at != '\0';) {
        buf_append(&tail->query, SPAN("&roomId="));
        for (; *at != '\0'; at++) {
            buf_printf(&tail->query, "%%%02X", (unsigned char)*at);
        }
    }
    return buf_text(&tail->query);
}

static char *listen_url(const char *http)
{
    struct buf url = {0};
    char *plain = terminal_url(http, "logs/listen");
    buf_append(&url, SPAN("ws"));
    buf_append(&url, span_str(plain + strlen("http"))); /* https becomes wss */
    free(plain);
    char *copy = strdup(buf_text(&url));
    buf_free(&url);
    return copy;
}

static int follow(struct tailing *tail)
{
    static const struct ws_client_events events = {
        .open = on_open, .message = on_message, .down = on_down, .query = on_query};
    char error[256], *url = listen_url(tail->http);
    tail->base = event_base_new();
    struct ws_client *client =
        ws_client_open(&(struct ws_client_options){.base = tail->base,
                                                   .url = url,
                                                   .bearer = tail->token,
                                                   .message_limit = TAIL_MESSAGE_MOST,
                                                   .events = &events,
                                                   .arg = tail},
                       error, sizeof(error));
    if (client == NULL) {
        fprintf(stderr, "muster tail: --http: %s\n", error);
        tail->failed = true;
    } else {
        event_base_dispatch(tail->base);
    }
    ws_client_close(&client);
    event_base_free(tail->base);
    free(url);
    return tail->failed ? 2 : 0;
}

static bool prepare(struct tailing *tail)
{
    char error[128];
    int code =
        tail->grep[0] != '\0' ? regcomp(&tail->pattern, tail->grep, REG_EXTENDED | REG_NOSUB) : 0;
    if (code != 0) {
        regerror(code, &tail->pattern, error, sizeof(error));
        fprintf(stderr, "muster tail: --grep: %s\n", error);
        return false;
    }
    tail->has_pattern = tail->grep[0] != '\0';
    for (tail->least = 0; tail->level[0] != '\0' && tail->least < TAIL_LEVELS; tail->least++) {
        if (strcasecmp(levels[tail->least], tail->level) == 0) {
            break;
        }
    }
    if (tail->least == TAIL_LEVELS) {
        fprintf(stderr,
                "muster tail: --level: '%s' is none of trace, debug, info, warn, error, fatal\n",
                tail->level);
        return false;
    }
    tail->from_ms = tail->since_ms > 0 ? clock_unix_ms() - (uint64_t)tail->since_ms : 0;
    return true;
}

int verb_tail(char *const args[])
{
    struct tailing tail = {
        .http = "localhost:8080", .token = "", .postgres = "", .room = "", .level = "", .grep = ""};
    const struct terminal_flag flags[] = {
        {"http", TERMINAL_TEXT, &tail.http, "HOST:PORT", "any node; a name, an address, or a URL",
         NULL},
        {"token", TERMINAL_TEXT, &tail.token, "TOKEN", "its logs-listen-token",
         "MUSTER_LOGS_LISTEN_TOKEN"},
        {"room", TERMINAL_TEXT, &tail.room, "ROOM", "lines of this room, and those of none", NULL},
        {"level", TERMINAL_TEXT, &tail.level, "LEVEL",
         "least level: trace, debug, info, warn, error, fatal", NULL},
        {"grep", TERMINAL_TEXT, &tail.grep, "PATTERN",
         "only where message or user match this extended regular expression", NULL},
        {"since", TERMINAL_TIME, &tail.since_ms, "TIME",
         "begin with lines so old, as far as they are kept: 10m, 2h", NULL},
        {"postgres", TERMINAL_TEXT, &tail.postgres, "URI",
         "stored lines instead of live ones, then end; a role that may read suffices", NULL},
        {"json", TERMINAL_SWITCH, &tail.json, NULL, "each line as the JSON object that it is",
         NULL},
        {NULL, TERMINAL_TEXT, NULL, NULL, NULL, NULL}};
    int status;
    if (!terminal_flags("tail", args, flags, &status)) {
        return status;
    }
    status = !prepare(&tail)            ? 2
             : tail.postgres[0] != '\0' ? verb_tail_stored(&tail)
                                        : follow(&tail);
    if (tail.has_pattern) {
        regfree(&tail.pattern);
    }
    buf_free(&tail.query);
    return status;
}
