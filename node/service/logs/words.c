/* SPDX-License-Identifier: MIT */
#include "node/service/logs/words.h"

#include "store/base/decimal.h"
#include "store/base/utf8.h"

#include <ctype.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* ------------------------------------------------------------------------------------ names */

/* The rank is the place in a field's row. winston, pino, bunyan, Python's logging, Serilog (compact,
 * and as its HTTP sink writes it), GELF, logstash and ECS, log4j, logrus, zap, fluent-bit, Docker. */
static const char *const usual[LOGS_FIELDS][14] = {
    [LOGS_TIMESTAMP] = {"timestamp", "@timestamp", "time", "ts", "@t", "created", "timemillis",
                        "date"},
    [LOGS_LEVEL] = {"level", "severity", "@l", "levelname", "log.level", "loglevel", "lvl"},
    [LOGS_MSG] = {"msg", "message", "short_message", "@m", "renderedmessage", "log", "@mt",
                  "messagetemplate"},
    [LOGS_TEXT] = {"text", "full_message"},
    [LOGS_USER] = {"user"},
    [LOGS_ROOM] = {"room"},
    [LOGS_SERVER_TIME] = {"serverTime"},
    [LOGS_SEQ_NUMBER] = {"seqNumber"},
};

static bool same_name(struct span name, const char *word)
{
    return name.len == strlen(word) && strncasecmp(name.ptr, word, name.len) == 0;
}

/* The place of `name` among `keys`, from 1 on; 0: it is none of them. */
static unsigned key_rank(struct span name, const char *keys)
{
    struct span rest = span_str(keys != NULL ? keys : "");
    for (unsigned rank = 1; rest.len > 0; rank++) {
        struct span key = span_trim(span_cut(&rest, ','));
        if (key.len > 0 && key.len == name.len && strncasecmp(name.ptr, key.ptr, key.len) == 0) {
            return rank;
        }
    }
    return 0;
}

static struct logs_word usual_word(struct span name)
{
    for (unsigned field = 0; field <= LOGS_TEXT; field++) {
        for (unsigned rank = 1; usual[field][rank] != NULL; rank++) {
            if (same_name(name, usual[field][rank])) {
                return (struct logs_word){(enum logs_field)field, rank};
            }
        }
        if (same_name(name, usual[field][0])) { /* in another case than ours */
            return (struct logs_word){(enum logs_field)field, 1};
        }
    }
    return (struct logs_word){LOGS_FURTHER, 0};
}

struct logs_word logs_word_of(const struct json_member *member, const struct logs_keys *keys)
{
    enum logs_field ours = logs_field_of(member);
    struct span name = span_of(member->name.ptr + 1, member->name.len - 2);
    unsigned rank;
    if (ours != LOGS_FURTHER) {
        return (struct logs_word){ours, 0};
    }
    if (keys != NULL && ((rank = key_rank(name, keys->room)) > 0 ||
                         (name.len > 1 && name.ptr[0] == '_' &&
                          (rank = key_rank(span_skip(name, 1), keys->room)) > 0))) {
        return (struct logs_word){LOGS_ROOM, rank};
    }
    if (keys != NULL && ((rank = key_rank(name, keys->user)) > 0 ||
                         (name.len > 1 && name.ptr[0] == '_' &&
                          (rank = key_rank(span_skip(name, 1), keys->user)) > 0))) {
        return (struct logs_word){LOGS_USER, rank};
    }
    if (name.len > 1 && name.ptr[0] == '_' &&
        (same_name(span_skip(name, 1), "room") || same_name(span_skip(name, 1), "user"))) {
        return (struct logs_word){same_name(span_skip(name, 1), "room") ? LOGS_ROOM : LOGS_USER,
                                  99};
    }
    return usual_word(name);
}

/* ------------------------------------------------------------------------------------ levels */

static const struct {
    const char *name, *level;
} levels[] = {{"information", "info"}, {"informational", "info"}, {"notice", "info"},
              {"verbose", "trace"},    {"warning", "warn"},       {"err", "error"},
              {"critical", "fatal"},   {"crit", "fatal"},         {"alert", "fatal"},
              {"emergency", "fatal"},  {"emerg", "fatal"},        {"panic", "fatal"}};

const char *logs_word_severity(unsigned number)
{
    static const char *const words[] = {"trace", "debug", "info", "warn", "error", "fatal"};
    return number >= 1 && number <= 24 ? words[(number - 1) / 4] : NULL;
}

/* Of pino and bunyan (10 to 60), or of syslog (RFC 5424, 6.2.1) and GELF. */
static const char *level_of_number(struct span raw)
{
    static const char *const bunyan[] = {"trace", "debug", "info", "warn", "error", "fatal"};
    static const char *const syslog[] = {"fatal", "fatal", "fatal", "error",
                                         "warn",  "info",  "info",  "debug"};
    if (raw.len == 1 && raw.ptr[0] >= '0' && raw.ptr[0] <= '7') {
        return syslog[raw.ptr[0] - '0'];
    }
    return raw.len == 2 && raw.ptr[1] == '0' && raw.ptr[0] >= '1' && raw.ptr[0] <= '6'
               ? bunyan[raw.ptr[0] - '1']
               : NULL;
}

/* Our own name's text stays as it is sent: its readers know it so. */
static bool put_level(struct span raw, struct logs_word word, struct buf *out)
{
    enum json_kind kind = json_kind_of(raw);
    const char *level = kind == JSON_KIND_NUMBER ? level_of_number(raw) : NULL;
    for (size_t i = 0;
         kind == JSON_KIND_STRING && word.rank > 0 && i < sizeof(levels) / sizeof(levels[0]); i++) {
        bool same = same_name(span_of(raw.ptr + 1, raw.len - 2), levels[i].name);
        level = same ? levels[i].level : level;
    }
    if (level != NULL) {
        json_quote(span_str(level), out);
    } else if (word.rank == 0 || kind == JSON_KIND_STRING) {
        buf_append(out, raw);
    } else {
        return false;
    }
    return true;
}

/* ------------------------------------------------------------------------------------ times */

/* `digits` of them, at the front of *text. */
static bool take_digits(struct span *text, size_t digits, int *value)
{
    uint64_t number = 0;
    bool good = text->len >= digits && decimal_read(span_of(text->ptr, digits), INT_MAX, &number);
    *value = (int)number;
    *text = span_skip(*text, good ? digits : 0);
    return good;
}

static bool take_char(struct span *text, const char *any)
{
    if (text->len == 0 || strchr(any, text->ptr[0]) == NULL || text->ptr[0] == '\0') {
        return false;
    }
    *text = span_skip(*text, 1);
    return true;
}

/* Microseconds; further digits are passed over. */
static int64_t take_fraction(struct span *text)
{
    int64_t us = 0, unit = 100000;
    while (text->len > 0 && text->ptr[0] >= '0' && text->ptr[0] <= '9') {
        us += (text->ptr[0] - '0') * unit;
        unit /= 10;
        *text = span_skip(*text, 1);
    }
    return us;
}

/* Minutes east of UTC; without a zone it is UTC. */
static bool take_zone(struct span *text, int *minutes)
{
    int hours = 0, rest = 0;
    *minutes = 0;
    if (text->len == 0 || take_char(text, "Zz")) {
        return text->len == 0;
    }
    int sign = text->ptr[0] == '-' ? -1 : 1;
    if (!take_char(text, "+-") || !take_digits(text, 2, &hours)) {
        return false;
    }
    take_char(text, ":");
    if (text->len > 0 && !take_digits(text, 2, &rest)) {
        return false;
    }
    *minutes = sign * (hours * 60 + rest);
    return text->len == 0 && hours < 24 && rest < 60;
}

/* ISO 8601 as RFC 3339 has it (section 5.6), and with a space or a comma as Python writes it. */
static bool iso_time(struct span text, int64_t *us)
{
    struct tm tm = {0};
    int year, month, zone;
    int64_t fraction = 0;
    if (!take_digits(&text, 4, &year) || !take_char(&text, "-") || !take_digits(&text, 2, &month) ||
        !take_char(&text, "-") || !take_digits(&text, 2, &tm.tm_mday) || !take_char(&text, "Tt ") ||
        !take_digits(&text, 2, &tm.tm_hour) || !take_char(&text, ":") ||
        !take_digits(&text, 2, &tm.tm_min)) {
        return false;
    }
    if (take_char(&text, ":") && !take_digits(&text, 2, &tm.tm_sec)) {
        return false;
    }
    if (take_char(&text, ".,")) {
        fraction = take_fraction(&text);
    }
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    struct tm given = tm;
    if (!take_zone(&text, &zone) || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60) {
        return false;
    }
    time_t seconds = timegm(&tm);
    *us = ((int64_t)seconds - zone * 60) * 1000000 + fraction;
    return given.tm_mon >= 0 && given.tm_mon < 12 && tm.tm_mday == given.tm_mday;
}

/* By its size; nanoseconds are more than a double holds. */
static bool number_time(struct span text, int64_t *us)
{
    char digits[32], *end;
    if (text.len == 0 || text.len >= sizeof(digits) || !isdigit((unsigned char)text.ptr[0])) {
        return false;
    }
    snprintf(digits, sizeof(digits), "%.*s", (int)text.len, text.ptr);
    uint64_t whole = strtoull(digits, &end, 10);
    double number = strtod(digits, &end);
    if (*end != '\0' || strpbrk(digits, "xXnN") != NULL || number < 1e8 || number >= 1e19) {
        return false;
    }
    *us = number < 1e11   ? llround(number * 1e6)
          : number < 1e14 ? llround(number * 1e3)
          : number < 1e17 ? llround(number)
                          : (int64_t)(whole / 1000);
    return true;
}

bool logs_word_time(struct span text, int64_t *us)
{
    text = span_trim(text);
    return number_time(text, us) || iso_time(text, us);
}

/* What says milliseconds already stays as it is sent, and so does our own name's text that says no
 * time: the sink keeps it in extra. */
static bool put_time(struct span raw, struct logs_word word, struct buf *out)
{
    enum json_kind kind = json_kind_of(raw);
    struct span text = kind == JSON_KIND_STRING ? span_of(raw.ptr + 1, raw.len - 2) : raw;
    int64_t us;
    bool plain = kind == JSON_KIND_STRING || kind == JSON_KIND_NUMBER;
    if (!plain || !logs_word_time(text, &us)) {
        buf_append(out, word.rank == 0 ? raw : SPAN(""));
        return word.rank == 0;
    }
    double number = kind == JSON_KIND_NUMBER || isdigit((unsigned char)text.ptr[0])
                        ? strtod(text.ptr, NULL)
                        : 0;
    if (word.rank == 0 && number >= 1e11 && number < 1e14) {
        buf_append(out, raw);
    } else if (us % 1000 != 0) {
        buf_printf(out, "%" PRId64 ".%03d", us / 1000, abs((int)(us % 1000)));
    } else {
        buf_printf(out, "%" PRId64, us / 1000);
    }
    return true;
}

/* ------------------------------------------------------------------------------------ values */

bool logs_word_value(const struct json_member *member, struct logs_word word, struct buf *out)
{
    enum json_kind kind = json_kind_of(member->raw);
    if (word.field == LOGS_TIMESTAMP) {
        return put_time(member->raw, word, out);
    }
    if (word.field == LOGS_LEVEL) {
        return put_level(member->raw, word, out);
    }
    /* Another's "log" or "message" may be an object with parts of its own. */
    if (word.rank > 0 && kind != JSON_KIND_STRING && kind != JSON_KIND_NUMBER) {
        return false;
    }
    buf_append(out, member->raw);
    return true;
}

void logs_word_quote(struct span text, struct buf *out)
{
    if (utf8_valid(text)) {
        json_quote(text, out);
        return;
    }
    struct buf clean = {0};
    while (text.len > 0) {
        size_t len = utf8_character(text);
        buf_append(&clean, len > 0 ? span_of(text.ptr, len) : SPAN(REPLACEMENT));
        text = span_skip(text, len > 0 ? len : 1);
    }
    json_quote(buf_span(&clean), out);
    buf_free(&clean);
}
