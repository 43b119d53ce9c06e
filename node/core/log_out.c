/* SPDX-License-Identifier: MIT */
#include "node/core/log_out.h"

#include "store/base/buf.h"
#include "store/base/clock.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum way {
    WAY_PLAIN,  /* a file, or not looked at: write */
    WAY_OWN,    /* a description of our own that does not block */
    WAY_SOCKET, /* send, told each time not to wait */
    WAY_ASK,    /* poll first; then at most what a pipe takes whole */
};

/* There is one stderr. */
static struct {
    enum way way;
    int fd;
    struct buf kept; /* lines with their ends; the first may have gone in part */
    bool gap;        /* a line was dropped: so are the lines after it, until nothing is kept */
    uint64_t dropped;
    struct event *event; /* NULL: no loop */
} out = {.fd = STDERR_FILENO};

void log_out_open(void)
{
    struct stat about;
    if (out.fd != STDERR_FILENO) {
        close(out.fd);
    }
    out.fd = STDERR_FILENO;
    out.way = WAY_PLAIN;
    if (fstat(STDERR_FILENO, &about) != 0) {
        return;
    }
    if (S_ISSOCK(about.st_mode)) {
        out.way = WAY_SOCKET;
    } else if (S_ISFIFO(about.st_mode) || S_ISCHR(about.st_mode)) {
        int own = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        out.way = own >= 0 ? WAY_OWN : WAY_ASK;
        out.fd = own >= 0 ? own : STDERR_FILENO;
    }
}

/* ------------------------------------------------------------------------------------ writing */

static bool takes_more(int timeout_ms)
{
    struct pollfd look = {.fd = out.fd, .events = POLLOUT};
    return poll(&look, 1, timeout_ms) == 1;
}

static ssize_t write_once(struct span bytes)
{
    switch (out.way) {
    case WAY_SOCKET:
        return send(out.fd, bytes.ptr, bytes.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    case WAY_ASK:
        if (!takes_more(0)) {
            errno = EAGAIN;
            return -1;
        }
        return write(out.fd, bytes.ptr, bytes.len < PIPE_BUF ? bytes.len : PIPE_BUF);
    default:
        return write(out.fd, bytes.ptr, bytes.len);
    }
}

/* Bytes written; 0: no room; below 0: stderr is gone, so that the failure cannot be reported. */
static ssize_t write_some(struct span bytes)
{
    ssize_t n;
    do {
        n = write_once(bytes);
    } while (n < 0 && errno == EINTR);
    return n < 0 && errno == EAGAIN ? 0 : n;
}

/* ------------------------------------------------------------------------------------ keeping */

static void watch(void)
{
    if (out.event == NULL) {
        return;
    }
    if (out.kept.len > 0) {
        event_add(out.event, NULL);
    } else {
        event_del(out.event);
    }
}

/* One write a line, so that lines of several processes do not mix. */
static struct span first_line(struct span text)
{
    const char *end = memchr(text.ptr, '\n', text.len);
    return end != NULL ? span_of(text.ptr, (size_t)(end - text.ptr) + 1) : text;
}

static void write_kept(void)
{
    struct span rest = buf_span(&out.kept);
    ssize_t n = 1;
    while (rest.len > 0 && n > 0) {
        n = write_some(first_line(rest));
        rest = span_skip(rest, n > 0 ? (size_t)n : 0);
    }
    buf_consume(&out.kept, n < 0 ? out.kept.len : out.kept.len - rest.len);
    if (out.kept.len == 0) {
        out.gap = false;
        buf_free(&out.kept);
    }
    watch();
}

static bool keep(struct span line)
{
    out.gap |= out.kept.len + line.len > LOG_OUT_MOST;
    if (out.gap) {
        out.dropped++;
        return false;
    }
    buf_append(&out.kept, line);
    return true;
}

bool log_out_put(struct span line)
{
    ssize_t n = 0;
    if (out.kept.len > 0) {
        write_kept();
    }
    if (out.kept.len == 0) {
        n = write_some(line);
    }
    if (n < 0 || (size_t)n == line.len) {
        return true;
    }
    bool kept = keep(span_skip(line, (size_t)n));
    watch();
    return kept;
}

bool log_out_is_clear(void)
{
    return out.kept.len == 0;
}

uint64_t log_out_dropped(void)
{
    return out.dropped;
}

void log_out_forget(void)
{
    out.kept.len = 0;
    out.gap = false;
    out.dropped = 0;
}

/* ------------------------------------------------------------------------------------ the loop */

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    write_kept();
}

void log_out_attach(struct event_base *base)
{
    out.event = event_new(base, out.fd, EV_WRITE | EV_PERSIST, on_writable, NULL);
    watch();
}

void log_out_detach(uint32_t ms)
{
    uint64_t end = clock_monotonic_ms() + ms, now = end - ms;
    if (out.event != NULL) {
        event_free(out.event);
        out.event = NULL;
    }
    while (out.kept.len > 0 && now < end && takes_more((int)(end - now))) {
        write_kept();
        now = clock_monotonic_ms();
    }
    buf_free(&out.kept);
    out.gap = false;
}
