/* SPDX-License-Identifier: MIT */
#include "node/service/logs/syslog.h"

#include "node/core/log.h"
#include "node/net/conn.h"
#include "node/net/listener.h"
#include "node/net/udp.h"
#include "node/service/logs/batch.h"
#include "node/service/logs/syslog_frames.h"
#include "node/service/logs/syslog_message.h"
#include "store/base/clock.h"
#include "store/base/list.h"
#include "store/base/mem.h"
#include "store/base/timer.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    SYSLOG_READ_MOST = 64 * 1024,
    SYSLOG_BATCH_MOST = 1000, /* messages in one step */
    RETRY_S = 1,
    ORPHANS_MOST = 256, /* senders that left while the stream did not take what they said */
    ORPHAN_TRIES = 60,
};

/* One socket of the setting's list. */
struct syslog_listener {
    struct list entry;
    struct logs_syslog *syslog;
    char bind[ADDRESS_TEXT];
    bool tcp, udp;
    struct listener *listener;
    struct udp *socket;
};

/* One TCP sender. */
struct syslog_sender {
    struct list entry;
    struct logs_syslog *syslog;
    struct conn *conn; /* NULL: it left */
    struct address peer;
    struct buf in; /* what came and is no whole message yet, or waits */
    struct logs_frames frames;
    struct logs_batch batch; /* what is on its way, or waits for its next try */
    bool known;              /* what came first is no HTTP request */
    bool under_way, waits, drains;
    unsigned tries;
};

struct logs_syslog {
    struct logs_syslog_options options;
    struct list listeners, senders;
    unsigned orphans;
    struct event *retry;
    struct logs_batch datagrams; /* of this turn */
    struct list sent;            /* struct syslog_sent: batches of datagrams on their way */
};

struct syslog_sent {
    struct list entry;
    struct logs_syslog *syslog;
    struct logs_batch batch;
};

static struct logs_batch fresh_batch(const struct logs_syslog *syslog)
{
    return (struct logs_batch){.entry_limit = syslog->options.entry_limit,
                               .lanes = syslog->options.lanes,
                               .keys = syslog->options.keys};
}

static void count(const struct logs_syslog *syslog, enum metric_id id, size_t by)
{
    metrics_add(syslog->options.metrics, id, by);
}

/* false: the batch is full. What is too large is left out, and counted. */
static bool add(struct logs_syslog *syslog, struct logs_batch *batch, struct span message)
{
    struct buf entry = {0};
    size_t refused = batch->refused;
    logs_syslog_print(message, time(NULL), &entry);
    bool added = logs_batch_add(batch, buf_span(&entry));
    count(syslog, METRIC_LOGS_TOO_LARGE, batch->refused - refused);
    buf_free(&entry);
    return added;
}

/* Counts what was stored, of some lanes, and what was not, but for what waits. */
static void note_outcome(const struct logs_syslog *syslog, const struct logs_batch *batch,
                         uint64_t stored, uint64_t waiting)
{
    count(syslog, METRIC_LOGS_ADDED, logs_batch_count(batch, stored));
    count(syslog, METRIC_LOGS_REFUSED, batch->count - logs_batch_count(batch, stored | waiting));
}

/* ------------------------------------------------------------------------------------ UDP */

static void sent_free(struct syslog_sent *sent)
{
    list_del(&sent->entry);
    logs_batch_free(&sent->batch);
    free(sent);
}

static void on_datagrams_appended(void *arg, const struct stream_result *result)
{
    struct syslog_sent *sent = arg;
    note_outcome(sent->syslog, &sent->batch, result->stored, 0);
    sent_free(sent);
}

static void send_datagrams(void *arg)
{
    struct logs_syslog *syslog = arg;
    if (syslog->datagrams.count > 0) {
        struct syslog_sent *sent = mem_zalloc(sizeof(*sent));
        sent->syslog = syslog;
        sent->batch = syslog->datagrams;
        syslog->datagrams = fresh_batch(syslog);
        list_push_back(&syslog->sent, &sent->entry);
        logs_batch_place(&sent->batch);
        if (stream_append_apart(syslog->options.store, sent->batch.items, sent->batch.count,
                                on_datagrams_appended, sent) != 0) {
            note_outcome(syslog, &sent->batch, 0, 0);
            sent_free(sent);
        }
    }
    if (syslog->datagrams.seen > 0) {
        logs_batch_free(&syslog->datagrams);
        syslog->datagrams = fresh_batch(syslog);
    }
}

static void on_datagram(void *arg, const struct udp_path *path, struct span bytes)
{
    struct syslog_listener *at = arg;
    struct logs_syslog *syslog = at->syslog;
    if (bytes.len == 0) {
        return;
    }
    if (!limit_table_take(syslog->options.rate, &path->peer, 1, clock_monotonic_us())) {
        count(syslog, METRIC_LOGS_TOO_FAST, 1);
    } else if (!add(syslog, &syslog->datagrams, bytes)) {
        send_datagrams(syslog);
        (void)add(syslog, &syslog->datagrams, bytes); /* an empty one has room */
    }
}

/* ------------------------------------------------------------------------------------ TCP */

static void sender_free(struct syslog_sender *sender)
{
    list_del(&sender->entry);
    logs_batch_free(&sender->batch);
    buf_free(&sender->in);
    free(sender);
}

/* Fills the batch from what came. */
static void gather(struct syslog_sender *sender)
{
    struct span rest = buf_span(&sender->in), message;
    while (sender->batch.seen < SYSLOG_BATCH_MOST &&
           logs_frames_take(&sender->frames, &rest, &message)) {
        if (message.len > 0 && !add(sender->syslog, &sender->batch, message)) {
            break; /* cannot be: it holds more than SYSLOG_BATCH_MOST */
        }
    }
    buf_consume(&sender->in, sender->in.len - rest.len);
    count(sender->syslog, METRIC_LOGS_TOO_LARGE, sender->frames.too_large);
    sender->frames.too_large = 0;
}

static void wait_a_moment(struct syslog_sender *sender)
{
    sender->waits = true;
    sender->tries++;
    if (!event_pending(sender->syslog->retry, EV_TIMEOUT, NULL)) {
        timer_after(sender->syslog->retry, RETRY_S * 1000);
    }
}

static void on_appended(void *arg, const struct stream_result *result);

/* Sends the batch off; afterwards it is under way, or waits. */
static void try_append(struct syslog_sender *sender)
{
    struct logs_syslog *syslog = sender->syslog;
    sender->waits = false;
    if (sender->tries == 0 &&
        !limit_table_take(syslog->options.rate, &sender->peer, (uint32_t)sender->batch.count,
                          clock_monotonic_us())) {
        count(syslog, METRIC_LOGS_TOO_FAST, sender->batch.count);
        wait_a_moment(sender);
        sender->tries = 0; /* the stream was not asked */
        return;
    }
    sender->under_way = stream_append_chunk(syslog->options.store, sender->batch.items,
                                            sender->batch.count, on_appended, sender) == 0;
    if (!sender->under_way) {
        wait_a_moment(sender);
    }
}

/* Reads on, carries on with what came, or lets the connection end: the one place that decides what a
 * sender does next. `sender` may be freed. */
static void settle(struct syslog_sender *sender)
{
    if (sender->under_way || sender->waits) {
        return;
    }
    gather(sender);
    if (sender->batch.count > 0) {
        logs_batch_place(&sender->batch);
        if (sender->conn != NULL) {
            conn_pause(sender->conn, CONN_PAUSE_SERVICE);
        }
        try_append(sender);
    } else if (sender->conn == NULL) {
        sender->syslog->orphans--;
        sender_free(sender);
    } else if (sender->drains && !conn_has_unread(sender->conn)) {
        conn_close(sender->conn);
    } else {
        conn_resume(sender->conn, CONN_PAUSE_SERVICE);
    }
}

static void on_appended(void *arg, const struct stream_result *result)
{
    struct syslog_sender *sender = arg;
    sender->under_way = false;
    /* What may be stored or not is not sent again: it would be there twice. */
    note_outcome(sender->syslog, &sender->batch, result->stored, result->refused);
    if (result->refused != 0) {
        logs_batch_keep(&sender->batch, result->refused);
        wait_a_moment(sender);
        return;
    }
    logs_batch_free(&sender->batch);
    sender->batch = fresh_batch(sender->syslog);
    sender->tries = 0;
    settle(sender);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct logs_syslog *syslog = arg;
    LIST_EACH(it, &syslog->senders) {
        struct syslog_sender *sender = LIST_ITEM(it, struct syslog_sender, entry);
        if (!sender->waits) {
            continue;
        }
        if (sender->conn == NULL && sender->tries > ORPHAN_TRIES) {
            count(syslog, METRIC_LOGS_REFUSED, sender->batch.count);
            syslog->orphans--;
            sender_free(sender);
        } else {
            try_append(sender);
        }
    }
}

/* A browser's request: nothing of it is a message. */
static void turn_away(struct syslog_sender *sender)
{
    char text[ADDRESS_TEXT];
    count(sender->syslog, METRIC_LOGS_MALFORMED, 1);
    log_debug("syslog: an HTTP request, closed",
              LOG_TEXT_FIELD("peer", address_text(&sender->peer, text)));
    sender->in.len = 0;
    conn_close(sender->conn);
}

static size_t on_data(void *arg, struct span bytes)
{
    struct syslog_sender *sender = arg;
    buf_append(&sender->in, bytes);
    if (!sender->known) {
        int http = logs_frames_are_http(buf_span(&sender->in), sender->frames.most);
        sender->known = http < 0;
        if (http > 0) {
            turn_away(sender);
            return bytes.len;
        }
    }
    settle(sender);
    return bytes.len;
}

static void on_drain(void *arg)
{
    struct syslog_sender *sender = arg;
    sender->drains = true;
    settle(sender);
}

/* A line that the sender's going ends is a message, too. */
static void on_closed(void *arg, enum conn_end end)
{
    (void)end;
    struct syslog_sender *sender = arg;
    if (logs_frames_is_last_line(&sender->frames, buf_span(&sender->in))) {
        buf_append(&sender->in, SPAN("\n"));
    }
    sender->conn = NULL;
    sender->syslog->orphans++;
    if (sender->syslog->orphans > ORPHANS_MOST && sender->waits) {
        count(sender->syslog, METRIC_LOGS_REFUSED, sender->batch.count);
        sender->syslog->orphans--;
        sender_free(sender);
        return;
    }
    settle(sender);
}

static const struct conn_handler handler = {
    .data = on_data, .drain = on_drain, .closed = on_closed};

static void on_accept(void *arg, int fd, const struct address *peer)
{
    const struct syslog_listener *at = arg;
    struct logs_syslog *syslog = at->syslog;
    if (!net_admit(syslog->options.net, peer)) {
        close(fd);
        return;
    }
    struct syslog_sender *sender = mem_zalloc(sizeof(*sender));
    sender->syslog = syslog;
    sender->peer = *peer;
    sender->batch = fresh_batch(syslog);
    sender->frames.most = syslog->options.entry_limit;
    list_push_back(&syslog->senders, &sender->entry);
    sender->conn = conn_new(syslog->options.net, fd, peer, &handler, sender);
    conn_set_read_limit(sender->conn, SYSLOG_READ_MOST);
}

/* ------------------------------------------------------------------------------------ the list */

static int read_listener(struct span text, struct syslog_listener *at)
{
    struct address address;
    int family;
    bool tcp = span_starts_with(text, SPAN("tcp:")), udp = span_starts_with(text, SPAN("udp:"));
    text = span_skip(text, tcp || udp ? 4 : 0);
    at->tcp = !udp;
    at->udp = !tcp;
    if (text.len == 0 || text.len >= sizeof(at->bind)) {
        return -1;
    }
    memcpy(at->bind, text.ptr, text.len);
    at->bind[text.len] = '\0';
    return address_parse_bind(at->bind, &address, &family);
}

int logs_syslog_check(const char *listen, char *error, size_t error_size)
{
    struct span rest = span_str(listen);
    while (rest.len > 0) {
        struct span text = span_trim(span_cut(&rest, ','));
        struct syslog_listener at;
        if (read_listener(text, &at) != 0) {
            snprintf(error, error_size,
                     "logs-syslog: '%.*s' is not [tcp:|udp:]address:port, as in udp:0.0.0.0:514",
                     SPAN_ARG(text));
            return -1;
        }
    }
    return 0;
}

int logs_syslog_probe(const char *listen, char *error, size_t error_size)
{
    struct span rest = span_str(listen);
    while (rest.len > 0) {
        struct syslog_listener at;
        struct address address;
        int family;
        if (read_listener(span_trim(span_cut(&rest, ',')), &at) != 0 ||
            address_parse_bind(at.bind, &address, &family) != 0 || address.port == 0) {
            snprintf(error, error_size,
                     "logs-syslog: a port of 0 would be another one in each of several workers");
            return -1;
        }
        if ((at.tcp && listener_probe(at.bind, error, error_size) != 0) ||
            (at.udp && udp_probe(at.bind, error, error_size) != 0)) {
            return -1;
        }
    }
    return 0;
}

static void log_listening(const char *how, const struct address *address)
{
    char text[ADDRESS_TEXT];
    log_info("listening", LOG_TEXT_FIELD("for", how),
             LOG_TEXT_FIELD("address", address_text(address, text)));
}

static int open_listener(struct syslog_listener *at, char *error, size_t error_size)
{
    struct net *net = at->syslog->options.net;
    if (at->tcp) {
        at->listener = listener_open(net, at->bind, on_accept, at, error, error_size);
        if (at->listener == NULL) {
            return -1;
        }
        log_listening("syslog over TCP", listener_address(at->listener));
    }
    if (at->udp) {
        at->socket = udp_open(net, at->bind, on_datagram, at, error, error_size);
        if (at->socket == NULL) {
            return -1;
        }
        log_listening("syslog over UDP", udp_address(at->socket));
    }
    return 0;
}

int logs_syslog_listen(struct logs_syslog *syslog, char *error, size_t error_size)
{
    struct span rest = span_str(syslog->options.listen);
    while (rest.len > 0) {
        struct syslog_listener *at = mem_zalloc(sizeof(*at));
        at->syslog = syslog;
        list_push_back(&syslog->listeners, &at->entry);
        if (read_listener(span_trim(span_cut(&rest, ',')), at) == 0 &&
            open_listener(at, error, error_size) != 0) {
            return -1;
        }
    }
    return 0;
}

/* ------------------------------------------------------------------------------------ life */

struct logs_syslog *logs_syslog_new(const struct logs_syslog_options *options)
{
    struct logs_syslog *syslog = mem_zalloc(sizeof(*syslog));
    struct loop *loop = net_loop(options->net);
    syslog->options = *options;
    syslog->datagrams = fresh_batch(syslog);
    list_init(&syslog->listeners);
    list_init(&syslog->senders);
    list_init(&syslog->sent);
    syslog->retry = evtimer_new(loop_base(loop), on_retry, syslog);
    if (options->listen[0] != '\0') {
        loop_at_turn_end(loop, send_datagrams, syslog);
    }
    return syslog;
}

void logs_syslog_retire(struct logs_syslog *syslog)
{
    LIST_EACH(it, &syslog->listeners) {
        listener_retire(&LIST_ITEM(it, struct syslog_listener, entry)->listener);
    }
}

void logs_syslog_stop(struct logs_syslog *syslog)
{
    LIST_EACH(it, &syslog->listeners) {
        struct syslog_listener *at = LIST_ITEM(it, struct syslog_listener, entry);
        listener_close(&at->listener);
        udp_close(&at->socket);
        list_del(&at->entry);
        free(at);
    }
}

void logs_syslog_free(struct logs_syslog **syslog)
{
    struct logs_syslog *gone = *syslog;
    if (gone == NULL) {
        return;
    }
    *syslog = NULL;
    logs_syslog_stop(gone);
    while (!list_empty(&gone->senders)) {
        sender_free(LIST_ITEM(gone->senders.next, struct syslog_sender, entry));
    }
    while (!list_empty(&gone->sent)) {
        sent_free(LIST_ITEM(gone->sent.next, struct syslog_sent, entry));
    }
    event_free(gone->retry);
    logs_batch_free(&gone->datagrams);
    free(gone);
}
