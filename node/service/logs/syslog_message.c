/* SPDX-License-Identifier: MIT */
#include "node/service/logs/syslog_message.h"

#include "node/service/logs/words.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    PRI_NOTICE = 13, /* user.notice: of a message that does not say (RFC 3164, 4.3.3) */
    PRI_LARGEST = 191,
    TAG_MOST = 48, /* RFC 5424's APP-NAME; RFC 3164 has 32 */
    HALF_YEAR_S = 366 * 86400 / 2,
};

/* ------------------------------------------------------------------------------------ printing */

/* A part that is "-" says nothing (RFC 5424, NILVALUE). */
static void put_part(const char *name, struct span value, struct buf *out)
{
    if (value.len > 0 && !span_eq(value, SPAN("-"))) {
        buf_printf(out, ",\"%s\":", name);
        logs_word_quote(value, out);
    }
}

static void put_priority(unsigned priority, struct buf *out)
{
    static const char *const facilities[] = {
        "kern",   "user",   "mail",     "daemon", "auth",   "syslog", "lpr",    "news",
        "uucp",   "cron",   "authpriv", "ftp",    "ntp",    "audit",  "alert",  "clock",
        "local0", "local1", "local2",   "local3", "local4", "local5", "local6", "local7"};
    buf_printf(out, "{\"level\":%u,\"facility\":\"%s\"", priority % 8, facilities[priority / 8]);
}

/* The message's own text, without the mark that it is UTF-8 and without a line's end. */
static void put_msg(struct span text, struct buf *out)
{
    if (span_starts_with(text, SPAN("\xef\xbb\xbf"))) {
        text = span_skip(text, 3);
    }
    while (text.len > 0 && strchr("\r\n", text.ptr[text.len - 1]) != NULL) {
        text.len--; /* a NUL at the end, too */
    }
    buf_append(out, SPAN(",\"msg\":"));
    logs_word_quote(text, out);
    buf_append(out, SPAN("}"));
}

/* ------------------------------------------------------------------------------------ RFC 5424 */

/* The next word, and the space behind it. */
static struct span take_word(struct span *text)
{
    return span_cut(text, ' ');
}

/* PARAM-VALUE up to its quote, in which \" \\ \] stand for the character (6.3.3). false: it has no
 * end. */
static bool take_value(struct span *text, struct buf *value)
{
    value->len = 0;
    while (text->len > 0 && text->ptr[0] != '"') {
        bool escaped = text->ptr[0] == '\\' && text->len > 1 && strchr("\"\\]", text->ptr[1]) &&
                       text->ptr[1] != '\0';
        *text = span_skip(*text, escaped ? 1 : 0);
        buf_append(value, span_of(text->ptr, 1));
        *text = span_skip(*text, 1);
    }
    if (text->len == 0) {
        return false;
    }
    *text = span_skip(*text, 1);
    return true;
}

/* [id name="value" ...]: members "id.name". false: it has another form, and *text is not moved. */
static bool take_element(struct span *text, struct buf *out)
{
    struct span rest = span_skip(*text, 1);
    struct buf members = {0}, name = {0}, value = {0};
    size_t id_len = 0;
    while (id_len < rest.len && strchr(" ]=\"", rest.ptr[id_len]) == NULL) {
        id_len++;
    }
    struct span id = span_of(rest.ptr, id_len);
    bool good = id_len > 0 && id_len < rest.len;
    rest = span_skip(rest, id_len);
    while (good && rest.len > 0 && rest.ptr[0] == ' ') {
        struct span after = span_trim(rest), key = span_cut(&after, '=');
        good = key.len > 0 && after.len > 0 && after.ptr[0] == '"';
        if (good) {
            after = span_skip(after, 1);
            good = take_value(&after, &value);
        }
        name.len = 0;
        buf_append(&name, id);
        buf_append(&name, SPAN("."));
        buf_append(&name, key);
        buf_append(&members, SPAN(","));
        logs_word_quote(buf_span(&name), &members);
        buf_append(&members, SPAN(":"));
        logs_word_quote(buf_span(&value), &members);
        rest = after;
    }
    good = good && rest.len > 0 && rest.ptr[0] == ']';
    if (good) {
        buf_append(out, buf_span(&members));
        *text = span_skip(rest, 1);
    }
    buf_free(&members);
    buf_free(&name);
    buf_free(&value);
    return good;
}

static void print_new(struct span text, struct buf *out)
{
    static const char *const parts[] = {"timestamp", "host", "app", "procid", "msgid"};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        put_part(parts[i], take_word(&text), out);
    }
    if (text.len > 0 && text.ptr[0] == '-') {
        text = span_skip(text, 1);
    }
    while (text.len > 0 && text.ptr[0] == '[' && take_element(&text, out)) {
    }
    put_msg(text.len > 0 && text.ptr[0] == ' ' ? span_skip(text, 1) : text, out);
}

/* ------------------------------------------------------------------------------------ RFC 3164 */

/* In which year, among the three around now's, is that time nearest? */
static time_t nearest(const struct tm *given, time_t now)
{
    struct tm today;
    localtime_r(&now, &today);
    for (int year = today.tm_year - 1; year <= today.tm_year + 1; year++) {
        struct tm tm = *given;
        tm.tm_year = year;
        tm.tm_isdst = -1;
        time_t time = mktime(&tm);
        if (tm.tm_mday == given->tm_mday && llabs((long long)(time - now)) <= HALF_YEAR_S) {
            return time;
        }
    }
    return -1;
}

/* "Nov 14 22:13:20 " (the day of one digit has a space before it). false: it is none. */
static bool take_old_time(struct span *text, time_t now, struct buf *out)
{
    char copy[17];
    struct tm tm = {0};
    if (text->len < sizeof(copy) - 1 || text->ptr[15] != ' ') {
        return false;
    }
    memcpy(copy, text->ptr, 15);
    copy[15] = '\0';
    const char *end = strptime(copy, "%b %e %H:%M:%S", &tm);
    time_t time = end != NULL && *end == '\0' ? nearest(&tm, now) : -1;
    if (time == -1) {
        return false;
    }
    buf_printf(out, ",\"timestamp\":%" PRId64, (int64_t)time * 1000);
    *text = span_skip(*text, 16);
    return true;
}

/* An ISO time in the old form's place, as rsyslog and others forward it. */
static bool take_iso_time(struct span *text, struct buf *out)
{
    struct span rest = *text, word = take_word(&rest);
    if (word.len < 20 || word.len > 35 || word.ptr[4] != '-' || word.ptr[10] != 'T') {
        return false;
    }
    put_part("timestamp", word, out);
    *text = rest;
    return true;
}

/* "tag: " or "tag[7]: ". false: the text begins without. */
static bool take_tag(struct span *text, struct buf *out)
{
    size_t len = 0;
    while (len < text->len && len < TAG_MOST && strchr(" :[", text->ptr[len]) == NULL) {
        len++;
    }
    struct span rest = span_skip(*text, len), tag = span_of(text->ptr, len), pid = {NULL, 0};
    if (rest.len > 0 && rest.ptr[0] == '[') {
        rest = span_skip(rest, 1);
        pid = span_cut(&rest, ']');
    }
    if (len == 0 || rest.len == 0 || rest.ptr[0] != ':') {
        return false;
    }
    put_part("app", tag, out);
    put_part("procid", pid, out);
    rest = span_skip(rest, 1);
    *text = rest.len > 0 && rest.ptr[0] == ' ' ? span_skip(rest, 1) : rest;
    return true;
}

static void print_old(struct span text, time_t now, struct buf *out)
{
    if (take_old_time(&text, now, out) || take_iso_time(&text, out)) {
        struct span rest = text, host = take_word(&rest);
        bool named = host.len > 0 && rest.len > 0 && host.ptr[host.len - 1] != ':' &&
                     memchr(host.ptr, '[', host.len) == NULL;
        if (named) { /* else a device that does not say its name: the tag stands here */
            put_part("host", host, out);
            text = rest;
        }
        take_tag(&text, out);
    }
    put_msg(text, out);
}

/* ------------------------------------------------------------------------------------ all */

/* <165>, at the front of *text. */
static unsigned take_priority(struct span *text)
{
    unsigned value = 0;
    size_t at = 1;
    while (at < text->len && at < 4 && text->ptr[at] >= '0' && text->ptr[at] <= '9') {
        value = value * 10 + (unsigned)(text->ptr[at++] - '0');
    }
    if (text->len == 0 || text->ptr[0] != '<' || at == 1 || at >= text->len ||
        text->ptr[at] != '>' || value > PRI_LARGEST) {
        return PRI_NOTICE;
    }
    *text = span_skip(*text, at + 1);
    return value;
}

void logs_syslog_print(struct span message, time_t now, struct buf *out)
{
    put_priority(take_priority(&message), out);
    if (span_starts_with(message, SPAN("1 "))) {
        print_new(span_skip(message, 2), out);
    } else {
        print_old(message, now, out);
    }
}
