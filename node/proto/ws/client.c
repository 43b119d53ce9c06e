/* SPDX-License-Identifier: MIT */
/*  WS_CLIENT_WAITING --timer--> WS_CLIENT_CONNECTING --101--> OPEN
 *     ^_________________|__________________|   any end: why, and again */
#include "node/proto/ws/client.h"

#include "node/proto/http/tls_client.h"
#include "store/base/backoff.h"
#include "store/base/buf.h"
#include "store/base/clock.h"
#include "store/base/entropy.h"
#include "store/base/mem.h"
#include "store/base/timer.h"
#include "store/resolver/resolver.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <nettle/base64.h>
#include <nettle/sha1.h>
#include <nettle/version.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <wslay/wslay.h>

enum {
    RETRY_FIRST_MS = 2000,
    RETRY_MOST_MS = 30000,
    HANDSHAKE_S = 10,
    PING_MS = 3000,
    SILENCE_MS = 15000,
    HEAD_LIMIT = 16 * 1024,
    WS_CLIENT_KEY_BYTES = 16,
    KEY_TEXT = BASE64_ENCODE_RAW_LENGTH(WS_CLIENT_KEY_BYTES),
    ACCEPT_TEXT = BASE64_ENCODE_RAW_LENGTH(SHA1_DIGEST_SIZE),
};

enum ws_client_state { WS_CLIENT_WAITING, WS_CLIENT_CONNECTING, OPEN };

struct ws_client {
    struct ws_client_options options;
    char *host, *path, *bearer; /* path with its query */
    int port;
    bool tls;
    struct resolver *resolver;
    struct resolver_query *query; /* under way, or NULL */
    unsigned tries;
    enum ws_client_state state;
    struct bufferevent *bev;
    wslay_event_context_ptr ws;
    struct event *timer; /* next try, limit of the handshake, ping */
    struct backoff backoff;
    uint64_t heard_ms;
    bool paused;
    char accept[ACCEPT_TEXT + 1];
};

static void arm(struct ws_client *client, uint32_t ms)
{
    timer_after(client->timer, ms);
}

static void drop(struct ws_client *client)
{
    resolver_cancel(&client->query);
    if (client->bev != NULL) {
        bufferevent_free(client->bev);
    }
    if (client->ws != NULL) {
        wslay_event_context_free(client->ws);
    }
    client->bev = NULL;
    client->ws = NULL;
}

static void fail(struct ws_client *client, const char *why)
{
    char text[256];
    snprintf(text, sizeof(text), "%s", why);
    drop(client);
    client->state = WS_CLIENT_WAITING;
    arm(client, backoff_next(&client->backoff));
    client->options.events->down(client->options.arg, text);
}

/* ------------------------------------------------------------------------------------ wslay */

static ssize_t on_wslay_recv(wslay_event_context_ptr ws, uint8_t *data, size_t len, int flags,
                             void *arg)
{
    struct ws_client *client = arg;
    int got = client->paused ? 0 : evbuffer_remove(bufferevent_get_input(client->bev), data, len);
    (void)flags;
    if (got <= 0) {
        wslay_event_set_error(ws, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    client->heard_ms = clock_monotonic_ms();
    return got;
}

static ssize_t on_wslay_send(wslay_event_context_ptr ws, const uint8_t *data, size_t len, int flags,
                             void *arg)
{
    struct ws_client *client = arg;
    (void)ws, (void)flags;
    bufferevent_write(client->bev, data, len);
    return (ssize_t)len;
}

static int on_wslay_mask(wslay_event_context_ptr ws, uint8_t *mask, size_t len, void *arg)
{
    (void)ws, (void)arg;
    entropy(mask, len);
    return 0;
}

static void on_wslay_message(wslay_event_context_ptr ws,
                             const struct wslay_event_on_msg_recv_arg *message, void *arg)
{
    struct ws_client *client = arg;
    (void)ws;
    if (message->opcode == WSLAY_TEXT_FRAME) {
        client->options.events->message(client->options.arg,
                                        span_of(message->msg, message->msg_length));
    }
}

static void serve(struct ws_client *client)
{
    bool broken = wslay_event_recv(client->ws) != 0 || wslay_event_send(client->ws) != 0;
    if (broken) {
        fail(client, "the server does not speak WebSocket");
    } else if (wslay_event_get_close_received(client->ws)) {
        fail(client, "the server closed it");
    } else if (!wslay_event_get_read_enabled(client->ws)) {
        fail(client, "a message is too large, or no WebSocket message");
    }
}

/* ------------------------------------------------------------------------------------ handshake */

static void make_key(struct ws_client *client, char key[static KEY_TEXT + 1])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    uint8_t nonce[WS_CLIENT_KEY_BYTES], digest[SHA1_DIGEST_SIZE];
    struct sha1_ctx sha1;
    entropy(nonce, sizeof(nonce));
    base64_encode_raw(key, sizeof(nonce), nonce);
    key[KEY_TEXT] = '\0';
    sha1_init(&sha1);
    sha1_update(&sha1, KEY_TEXT, (const uint8_t *)key);
    sha1_update(&sha1, sizeof(guid) - 1, (const uint8_t *)guid);
#if NETTLE_VERSION_MAJOR >= 4
    sha1_digest(&sha1, digest);
#else
    sha1_digest(&sha1, sizeof(digest), digest);
#endif
    base64_encode_raw(client->accept, sizeof(digest), digest);
    client->accept[ACCEPT_TEXT] = '\0';
}

static void send_handshake(struct ws_client *client)
{
    const struct ws_client_events *events = client->options.events;
    const char *more = events->query != NULL ? events->query(client->options.arg) : NULL;
    char key[KEY_TEXT + 1];
    struct buf head = {0};
    bool numeric6 = strchr(client->host, ':') != NULL; /* RFC 3986, 3.2.2 */
    make_key(client, key);
    buf_printf(&head, "GET %s", client->path);
    if (more != NULL) {
        buf_printf(&head, "%c%s", strchr(client->path, '?') != NULL ? '&' : '?', more);
    }
    buf_printf(&head,
               " HTTP/1.1\r\nHost: %s%s%s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n",
               numeric6 ? "[" : "", client->host, numeric6 ? "]" : "", client->port, key);
    if (client->bearer[0] != '\0') {
        buf_printf(&head, "Authorization: Bearer %s\r\n", client->bearer);
    }
    buf_append(&head, SPAN("\r\n"));
    bufferevent_write(client->bev, head.ptr, head.len);
    buf_free(&head);
}

static void start_frames(struct ws_client *client)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = on_wslay_recv,
        .send_callback = on_wslay_send,
        .genmask_callback = on_wslay_mask,
        .on_msg_recv_callback = on_wslay_message,
    };
    if (wslay_event_context_client_init(&client->ws, &callbacks, client) != 0) {
        fail(client, "no memory");
        return;
    }
    wslay_event_config_set_max_recv_msg_length(client->ws, client->options.message_limit);
    client->state = OPEN;
    client->heard_ms = clock_monotonic_ms();
    backoff_reset(&client->backoff);
    arm(client, PING_MS);
    client->options.events->open(client->options.arg);
    if (client->paused) {
        bufferevent_disable(client->bev, EV_READ);
    }
    serve(client);
}

/* The answer's head: status 101, and the key's echo. */
static void read_handshake(struct ws_client *client)
{
    struct evbuffer *in = bufferevent_get_input(client->bev);
    struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);
    if (end.pos < 0) {
        if (evbuffer_get_length(in) > HEAD_LIMIT) {
            fail(client, "the server does not speak HTTP");
        }
        return;
    }
    size_t len = (size_t)end.pos + 4;
    char *head = mem_zalloc(len + 1);
    char why[96] = "";
    evbuffer_remove(in, head, len);
    if (strncmp(head, "HTTP/1.1 101", 12) != 0) {
        snprintf(why, sizeof(why), "the server answered %.*s", (int)strcspn(head, "\r\n"), head);
    } else if (strstr(head, client->accept) == NULL) {
        snprintf(why, sizeof(why), "the server's handshake is wrong");
    }
    free(head);
    if (why[0] != '\0') {
        fail(client, why);
    } else {
        start_frames(client);
    }
}

/* ----------------------------------------------------------------------------------- the socket */

static void on_read(struct bufferevent *bev, void *arg)
{
    struct ws_client *client = arg;
    (void)bev;
    if (client->state == WS_CLIENT_CONNECTING) {
        read_handshake(client);
    } else if (client->state == OPEN) {
        serve(client);
    }
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct ws_client *client = arg;
    int error = EVUTIL_SOCKET_ERROR();
    (void)bev;
    if (what & BEV_EVENT_CONNECTED) {
        send_handshake(client);
    } else if (what & BEV_EVENT_EOF) {
        fail(client, "the server closed the connection");
    } else if (what & BEV_EVENT_ERROR) {
        char why[160] = "cannot connect";
        unsigned long tls = client->tls ? bufferevent_get_openssl_error(client->bev) : 0;
        if (tls != 0) {
            tls_client_why(bufferevent_openssl_get_ssl(client->bev), tls, why, sizeof(why));
        } else if (error != 0) {
            snprintf(why, sizeof(why), "%s", evutil_socket_error_to_string(error));
        }
        fail(client, why);
    }
}

/* NULL with a message when TLS cannot begin. */
static struct bufferevent *new_socket(const struct ws_client *client, char *error,
                                      size_t error_size)
{
    const struct ws_client_options *options = &client->options;
    if (!client->tls) {
        return bufferevent_socket_new(options->base, -1, BEV_OPT_CLOSE_ON_FREE);
    }
    struct ssl_st *ssl =
        tls_client_new(options->ca != NULL ? options->ca : "", client->host, error, error_size);
    return ssl != NULL
               ? bufferevent_openssl_socket_new(options->base, -1, ssl, BUFFEREVENT_SSL_CONNECTING,
                                                BEV_OPT_CLOSE_ON_FREE)
               : NULL;
}

static void dial(struct ws_client *client, const struct sockaddr *address, socklen_t len)
{
    char error[200] = "cannot connect";
    client->bev = new_socket(client, error, sizeof(error));
    if (client->bev == NULL) {
        fail(client, error);
        return;
    }
    bufferevent_setcb(client->bev, on_read, NULL, on_event, client);
    bufferevent_enable(client->bev, EV_READ | EV_WRITE);
    struct bufferevent *mine = client->bev;
    if (bufferevent_socket_connect(mine, address, (int)len) != 0 && client->bev == mine) {
        fail(client, "cannot connect");
    }
}

static void on_address(void *arg, const struct addrinfo *found, const char *why)
{
    struct ws_client *client = arg;
    struct sockaddr_storage address;
    client->query = NULL;
    if (found == NULL) {
        char text[256];
        snprintf(text, sizeof(text), "%s: %s", client->host, why);
        fail(client, text);
        return;
    }
    socklen_t len = resolver_pick(found, client->tries++, (uint16_t)client->port, &address);
    dial(client, (const struct sockaddr *)&address, len);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct ws_client *client = arg;
    (void)fd, (void)what;
    if (client->state == WS_CLIENT_WAITING) {
        client->state = WS_CLIENT_CONNECTING;
        arm(client, HANDSHAKE_S * 1000);
        client->query = resolver_ask(client->resolver, client->host, on_address, client);
    } else if (client->state == WS_CLIENT_CONNECTING) {
        fail(client, client->query != NULL ? "its name is not answered" : "no answer in time");
    } else {
        static const struct wslay_event_msg ping = {.opcode = WSLAY_PING};
        if (!client->paused && clock_monotonic_ms() - client->heard_ms > SILENCE_MS) {
            fail(client, "the server is silent");
            return;
        }
        arm(client, PING_MS);
        wslay_event_queue_msg(client->ws, &ping);
        serve(client);
    }
}

void ws_client_pause(struct ws_client *client, bool paused)
{
    client->paused = paused;
    if (client->bev == NULL || client->state != OPEN) {
        return;
    }
    if (paused) {
        bufferevent_disable(client->bev, EV_READ);
    } else {
        client->heard_ms = clock_monotonic_ms();
        bufferevent_enable(client->bev, EV_READ);
        bufferevent_trigger(client->bev, EV_READ, BEV_OPT_DEFER_CALLBACKS);
    }
}

/* ------------------------------------------------------------------------------------ life */

static int parse(struct ws_client *client, const char *url)
{
    struct span rest = span_str(url);
    client->tls = span_starts_with(rest, SPAN("wss://"));
    if (!client->tls && !span_starts_with(rest, SPAN("ws://"))) {
        return -1;
    }
    rest = span_skip(rest, client->tls ? 6 : 5);
    size_t len = strcspn(rest.ptr, "/?#");
    struct span place = span_of(rest.ptr, len), path = span_skip(rest, len);
    const char *colon = memrchr(place.ptr, ':', place.len);
    bool bracket = place.len > 0 && place.ptr[0] == '[';
    const char *close = bracket ? memchr(place.ptr, ']', place.len) : NULL;
    if (bracket && close == NULL) {
        return -1;
    }
    colon = colon != NULL && close != NULL && colon < close ? NULL : colon;
    client->port = colon != NULL ? atoi(colon + 1) : client->tls ? 443 : 80;
    struct span host = span_of(place.ptr, colon != NULL ? (size_t)(colon - place.ptr) : place.len);
    host = bracket ? span_of(host.ptr + 1, (size_t)(close - host.ptr) - 1) : host;
    for (size_t i = 0; i < path.len; i++) {
        if ((unsigned char)path.ptr[i] <= ' ' || path.ptr[i] == '#') {
            return -1;
        }
    }
    client->host = mem_dup(host);
    client->path = path.len > 0 && path.ptr[0] == '/' ? mem_dup(path) : mem_dup(SPAN("/"));
    return host.len > 0 && client->port > 0 && client->port < 65536 ? 0 : -1;
}

int ws_client_check(const char *url, const char *ca, char *error, size_t error_size)
{
    struct ws_client client = {0};
    int result = parse(&client, url);
    if (result != 0) {
        snprintf(error, error_size, "'%s' is no ws://host[:port]/path, nor wss://", url);
    } else if (client.tls) {
        struct ssl_st *ssl = tls_client_new(ca, client.host, error, error_size);
        result = ssl != NULL ? 0 : -1;
        SSL_free(ssl);
    }
    free(client.host);
    free(client.path);
    return result;
}

struct ws_client *ws_client_open(const struct ws_client_options *options, char *error,
                                 size_t error_size)
{
    struct ws_client *client = mem_zalloc(sizeof(*client));
    client->options = *options;
    client->bearer = mem_dup(span_str(options->bearer));
    client->backoff = (struct backoff){.first_ms = RETRY_FIRST_MS, .most_ms = RETRY_MOST_MS};
    if (parse(client, options->url) != 0) {
        snprintf(error, error_size, "'%s' is no ws://host[:port]/path, nor wss://", options->url);
        ws_client_close(&client);
        return NULL;
    }
    client->resolver = resolver_new(options->base);
    client->timer = event_new(options->base, -1, 0, on_timer, client);
    arm(client, 0);
    return client;
}

void ws_client_close(struct ws_client **client)
{
    struct ws_client *gone = *client;
    if (gone == NULL) {
        return;
    }
    *client = NULL;
    drop(gone);
    if (gone->timer != NULL) {
        event_free(gone->timer);
    }
    resolver_free(&gone->resolver);
    free(gone->host);
    free(gone->path);
    free(gone->bearer);
    free(gone);
}
