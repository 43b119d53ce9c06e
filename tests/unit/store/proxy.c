/* SPDX-License-Identifier: MIT */
#include "proxy.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <stdbool.h>
#include <stdlib.h>

enum {
    PAIRS_MOST = 256,
};

struct pair {
    struct proxy *proxy;
    struct bufferevent *client, *server;
    bool mute;
};

struct proxy {
    struct event_base *base;
    struct evconnlistener *listener;
    int port, target, other_target;
    int accepted;
    struct pair pairs[PAIRS_MOST];
};

static void close_pair(struct pair *pair)
{
    if (pair->client != NULL) {
        bufferevent_free(pair->client);
        bufferevent_free(pair->server);
        pair->client = pair->server = NULL;
    }
}

static void on_read(struct bufferevent *from, void *arg)
{
    struct pair *pair = arg;
    if (from == pair->server && pair->mute) {
        evbuffer_drain(bufferevent_get_input(from),
                       evbuffer_get_length(bufferevent_get_input(from)));
        return;
    }
    bufferevent_write_buffer(from == pair->client ? pair->server : pair->client,
                             bufferevent_get_input(from));
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) {
        close_pair(arg);
    }
}

static void connect_server(struct pair *pair, int port)
{
    struct sockaddr_in target = {.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    pair->server = bufferevent_socket_new(pair->proxy->base, -1, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(pair->server, on_read, NULL, on_event, pair);
    bufferevent_enable(pair->server, EV_READ | EV_WRITE);
    bufferevent_socket_connect(pair->server, (struct sockaddr *)&target, sizeof(target));
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from,
                      int len, void *arg)
{
    struct proxy *proxy = arg;
    (void)listener, (void)from, (void)len;
    if (proxy->accepted == PAIRS_MOST) {
        evutil_closesocket(fd);
        return;
    }
    struct pair *pair = &proxy->pairs[proxy->accepted++];
    pair->proxy = proxy;
    pair->client = bufferevent_socket_new(proxy->base, fd, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(pair->client, on_read, NULL, on_event, pair);
    bufferevent_enable(pair->client, EV_READ | EV_WRITE);
    connect_server(pair, proxy->accepted % 2 == 0 ? proxy->other_target : proxy->target);
}

struct proxy *proxy_new(struct event_base *base, int target_port)
{
    struct proxy *proxy = calloc(1, sizeof(*proxy));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    proxy->base = base;
    proxy->target = proxy->other_target = target_port;
    proxy->listener = evconnlistener_new_bind(base, on_accept, proxy, LEV_OPT_CLOSE_ON_FREE, -1,
                                              (struct sockaddr *)&address, sizeof(address));
    if (proxy->listener == NULL || getsockname(evconnlistener_get_fd(proxy->listener),
                                               (struct sockaddr *)&address, &len) < 0) {
        abort();
    }
    proxy->port = ntohs(address.sin_port);
    return proxy;
}

void proxy_free(struct proxy **proxy)
{
    for (int i = 0; i < (*proxy)->accepted; i++) {
        close_pair(&(*proxy)->pairs[i]);
    }
    evconnlistener_free((*proxy)->listener);
    free(*proxy);
    *proxy = NULL;
}

int proxy_port(const struct proxy *proxy)
{
    return proxy->port;
}

void proxy_switch(struct proxy *proxy, int target_port)
{
    proxy->target = proxy->other_target = target_port;
}

void proxy_cut(struct proxy *proxy, int index)
{
    close_pair(&proxy->pairs[index]);
}

int proxy_accepted(const struct proxy *proxy)
{
    return proxy->accepted;
}

void proxy_mute(struct proxy *proxy, int index)
{
    proxy->pairs[index].mute = true;
}

void proxy_split(struct proxy *proxy, int port, int other_port)
{
    proxy->target = port;
    proxy->other_target = other_port;
}

void proxy_retarget(struct proxy *proxy, int index, int target_port)
{
    bufferevent_free(proxy->pairs[index].server);
    connect_server(&proxy->pairs[index], target_port);
}
