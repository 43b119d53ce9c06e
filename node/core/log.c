/* SPDX-License-Identifier: MIT */
#include "node/core/log.h"

#include "node/core/log_out.h"
#include "store/base/buf.h"
#include "store/base/clock.h"
#include "store/base/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

enum { FIELD_LIMIT = 512 }; /* bytes of one field that are written */

static const char *const level_names[] = {"debug", "info", "warn", "error"};

/* The log is the process's: there is one stderr. */
static enum log_level threshold = LOG_INFO;
static enum log_format format = LOG_TEXT;
static int worker_number = -1; /* none */
static uint64_t reported;      /* dropped lines that a line has told of */

void log_setup(enum log_level level, enum log_format wanted)
{
    threshold = level;
    format = wanted;
    log_out_open();
}

static void (*listener)(void *arg, const char *level, struct span text, size_t msg_at);
static void *listener_arg;

void log_listen(void (*fn)(void *arg, const char *level, struct span text, size_t msg_at),
                void *arg)
{
    listener = fn;
    listener_arg = arg;
}

void log_worker(int worker)
{
    worker_number = worker;
    reported = 0;
    log_out_forget();
}

bool log_wants(enum log_level level)
{
    return level >= threshold;
}

static void put_time(struct buf *line)
{
    uint64_t now = clock_unix_ms();
    time_t seconds = (time_t)(now / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    char text[32];
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
    buf_printf(line, "%s.%03uZ", text, (unsigned)(now % 1000));
}

/* One character, or one byte that is none, at the front of `text`; returns its length. What could
 * end a line or a string, or is no UTF-8, leaves as an escape that both a JSON reader and a
 * terminal take. */
static size_t put_character(struct buf *line, struct span text)
{
    unsigned char c = (unsigned char)text.ptr[0];
    size_t len = utf8_character(text);
    if (c == '"' || c == '\\') {
        buf_printf(line, "\\%c", c);
    } else if (c < 0x20 || c == 0x7f || len == 0) {
        buf_printf(line, "\\u%04x", c);
    } else {
        buf_append(line, span_of(text.ptr, len));
    }
    return len > 0 ? len : 1;
}

static void put_escaped(struct buf *line, struct span text)
{
    size_t end =
        text.len < FIELD_LIMIT ? 0 : text.len - FIELD_LIMIT; /* bytes left when it is cut */
    while (text.len > end) {
        text = span_skip(text, put_character(line, text));
    }
    if (end > 0) {
        buf_append(line, SPAN("..."));
    }
}

static bool is_plain(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '=') {
            return false;
        }
    }
    return text.len > 0 && text.len <= FIELD_LIMIT;
}

static void put_string(struct buf *line, struct span text)
{
    buf_append(line, SPAN("\""));
    put_escaped(line, text);
    buf_append(line, SPAN("\""));
}

static void put_value(struct buf *line, const struct log_field *field)
{
    if (field->text.ptr == NULL) {
        buf_printf(line, "%" PRId64, field->number);
    } else if (format == LOG_TEXT && is_plain(field->text)) {
        buf_append(line, field->text);
    } else {
        put_string(line, field->text);
    }
}

/* Returns where the message begins. */
static size_t put_text_line(struct buf *line, enum log_level level, const char *message,
                            const struct log_field *fields)
{
    put_time(line);
    buf_printf(line, " %-5s ", level_names[level]);
    size_t msg_at = line->len;
    buf_append(line, span_str(message));
    if (worker_number >= 0) {
        buf_printf(line, " worker=%d", worker_number);
    }
    for (; fields->name != NULL; fields++) {
        buf_printf(line, " %s=", fields->name);
        put_value(line, fields);
    }
    return msg_at;
}

static void put_json_line(struct buf *line, enum log_level level, const char *message,
                          const struct log_field *fields)
{
    buf_append(line, SPAN("{\"time\":\""));
    put_time(line);
    buf_printf(line, "\",\"level\":\"%s\",\"msg\":", level_names[level]);
    put_string(line, span_str(message));
    if (worker_number >= 0) {
        buf_printf(line, ",\"worker\":%d", worker_number);
    }
    for (; fields->name != NULL; fields++) {
        buf_printf(line, ",\"%s\":", fields->name);
        put_value(line, fields);
    }
    buf_append(line, SPAN("}"));
}

static void tell_listener(enum log_level level, const char *message, const struct log_field *fields)
{
    void (*fn)(void *, const char *, struct span, size_t) = listener;
    struct buf text = {0};
    size_t msg_at = put_text_line(&text, level, message, fields);
    listener = NULL;
    fn(listener_arg, level_names[level], buf_span(&text), msg_at);
    listener = fn;
    buf_free(&text);
}

/* A gap in the log says how wide it is. */
static void report_dropped(void)
{
    uint64_t dropped = log_out_dropped();
    if (dropped != reported && log_out_is_clear()) {
        uint64_t lines = dropped - reported;
        reported = dropped;
        log_warn("log lines dropped, stderr took no more", LOG_NUMBER_FIELD("lines", lines));
    }
}

void log_line(enum log_level level, const char *message, const struct log_field *fields)
{
    static struct buf line; /* kept between lines, like the stream it goes to */
    report_dropped();
    line.len = 0;
    if (format == LOG_JSON) {
        put_json_line(&line, level, message, fields);
    } else {
        put_text_line(&line, level, message, fields);
    }
    buf_append(&line, SPAN("\n"));
    log_out_put(buf_span(&line));
    if (listener != NULL) {
        tell_listener(level, message, fields);
    }
}
