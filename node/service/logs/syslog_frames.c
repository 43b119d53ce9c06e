/* SPDX-License-Identifier: MIT */
#include "node/service/logs/syslog_frames.h"

enum {
    COUNT_DIGITS = 9,
    METHOD_MOST = 16, /* letters of a request's first word */
};

/* A count and a space before the message (RFC 6587, 3.4.1). 0: it is none, or not whole yet. */
static size_t read_length(struct span text, size_t *head)
{
    size_t length = 0, at = 0;
    while (at < text.len && at < COUNT_DIGITS && text.ptr[at] >= '0' && text.ptr[at] <= '9') {
        length = length * 10 + (size_t)(text.ptr[at++] - '0');
    }
    *head = at + 1;
    return at > 0 && at < text.len && text.ptr[at] == ' ' && text.ptr[0] != '0' ? length : 0;
}

static bool take_counted(struct logs_frames *frames, size_t head, size_t length, struct span *rest,
                         struct span *message)
{
    frames->looked = 0; /* its count may have come in parts */
    if (length > frames->most) {
        frames->too_large++;
        frames->skip = length;
        *rest = span_skip(*rest, head);
        *message = SPAN("");
        return true;
    }
    if (rest->len < head + length) {
        return false;
    }
    *message = span_of(rest->ptr + head, length);
    *rest = span_skip(*rest, head + length);
    return true;
}

/* A line's end, or a NUL (3.4.2). */
static bool take_line(struct logs_frames *frames, struct span *rest, struct span *message)
{
    size_t len = frames->looked;
    while (len < rest->len && rest->ptr[len] != '\n' && rest->ptr[len] != '\0') {
        len++;
    }
    bool whole = len < rest->len;
    bool large = len > frames->most;
    frames->looked = whole || large ? 0 : len;
    if (!whole && !large) {
        return false;
    }
    frames->too_large += large && !frames->skip_line;
    *message = large || frames->skip_line ? SPAN("") : span_of(rest->ptr, len);
    frames->skip_line = !whole;
    *rest = span_skip(*rest, len + (whole ? 1 : 0));
    return true;
}

bool logs_frames_take(struct logs_frames *frames, struct span *rest, struct span *message)
{
    size_t head, skipped = frames->skip < rest->len ? frames->skip : rest->len;
    frames->skip -= skipped;
    *rest = span_skip(*rest, skipped);
    if (rest->len == 0) {
        return false;
    }
    size_t length = frames->skip_line ? 0 : read_length(*rest, &head);
    return length > 0 ? take_counted(frames, head, length, rest, message)
                      : take_line(frames, rest, message);
}

bool logs_frames_is_last_line(const struct logs_frames *frames, struct span rest)
{
    size_t head;
    return rest.len > 0 && frames->skip == 0 && !frames->skip_line && read_length(rest, &head) == 0;
}

/* The line of a request has a method, a target and a version; a line of syslog begins with "<" or is what somebody
 * wrote by hand. One that is too large to be a message is judged by its begin. */
int logs_frames_are_http(struct span bytes, size_t most)
{
    struct span version = SPAN(" HTTP/1.");
    size_t len = 0;
    while (len < bytes.len && len < METHOD_MOST && bytes.ptr[len] >= 'A' && bytes.ptr[len] <= 'Z') {
        len++;
    }
    if (len == bytes.len && len < METHOD_MOST) {
        return 0;
    }
    if (len == 0 || len == METHOD_MOST || bytes.ptr[len] != ' ') {
        return -1;
    }
    size_t line = len;
    while (line < bytes.len && bytes.ptr[line] != '\n' && bytes.ptr[line] != '\0') {
        line++;
    }
    if (line > most) {
        return 1;
    }
    if (line == bytes.len) {
        return 0;
    }
    return memmem(bytes.ptr, line, version.ptr, version.len) != NULL ? 1 : -1;
}
