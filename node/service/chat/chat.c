/* SPDX-License-Identifier: MIT */
/*     message --> limits --> history_append --> the cluster's order --> every logged-in client,
 *                                                                       the sender too
 *     login   --> chat_login --> into the room, for as long as the token holds */
#include "node/service/chat/chat.h"

#include "node/core/log.h"
#include "node/fanout/group.h"
#include "node/net/limit.h"
#include "node/proto/ws/ws.h"
#include "node/service/chat/recent.h"
#include "node/service/chat/words.h"
#include "store/base/clock.h"
#include "store/base/map.h"
#include "store/history/history.h"

#include <stdlib.h>

#define HISTORY_KEY SPAN("chat")
#define API_VERSION "v1.0.1"

enum {
    KEPT_LEAST = 1000,     /* messages kept for nodes that come back from a broken link */
    APPEND_MS = 30 * 1000, /* for so long a message is tried to be stored */
};

struct chat {
    struct chat_options options;
    struct chat_login *login;
    struct chat_online *online;
    struct group room;  /* logged in */
    struct map clients; /* all, by id */
    struct metrics_source gauges;
    struct history_watch *watch;
    struct chat_recent *recent;
};

/* One /chat socket. */
struct chat_client {
    struct chat *chat;
    struct ws *ws;
    struct map_node node;
    uint64_t id;                  /* key of `node`: stays unique when the client is gone */
    struct receiver member;       /* of the room: logged in */
    struct chat_user *user;       /* NULL until the first login */
    struct chat_attempt *attempt; /* a login under way */
    struct json_coming *coming;   /* a long message; mostly NULL */
    struct wheel_timer expiry;
    struct limit_bucket limit;
};

/* ------------------------------------------------------------------------------------- out */

static void say_error(struct chat_client *client, const char *text)
{
    struct buf out = {0};
    chat_error(text, &out);
    ws_send(client->ws, WS_TEXT, buf_span(&out));
    buf_free(&out);
}

static void count(const struct chat_client *client, enum metric_id id)
{
    metrics_add(client->chat->options.metrics, id, 1);
}

static struct chat_client *find_client(const struct chat *chat, uint64_t id)
{
    struct map_node *node = map_find(&chat->clients, span_of(&id, sizeof(id)));
    return node != NULL ? MAP_ENTRY(node, struct chat_client, node) : NULL;
}

/* ------------------------------------------------------------------------------------ login */

static bool is_logged_in(const struct chat_client *client)
{
    return !list_empty(&client->member.entry);
}

static void log_out(struct chat_client *client)
{
    if (is_logged_in(client)) {
        wheel_cancel(&client->expiry);
        group_remove(&client->chat->room, &client->member);
        chat_online_remove(client->chat->online, client->user->id);
    }
}

static void on_expiry(struct wheel_timer *timer)
{
    struct chat_client *client = CONTAINER_OF(timer, struct chat_client, expiry);
    log_out(client);
    say_error(client, "the access token is expired, you need to authenticate again");
    if (client->chat->options.close_at_exp) {
        ws_close(client->ws, WS_POLICY, "the access token is expired");
    }
}

/* The session ends when its token does; one that was taken within the leeway, with that. */
static void watch_expiry(struct chat_client *client)
{
    int64_t now = (int64_t)clock_unix_ms(), end = client->user->expires_s * 1000;
    if (client->user->expires_s == 0) {
        return;
    }
    end += end > now ? 0 : client->chat->options.login.leeway_s * 1000;
    uint64_t most = 30ULL * 24 * 3600 * 1000; /* sooner or later the socket breaks anyway */
    uint64_t wait = end > now ? (uint64_t)(end - now) : 1;
    wheel_set(client->chat->options.wheel, &client->expiry, wait < most ? wait : most);
}

static void log_in(struct chat_client *client, const struct chat_user *user)
{
    log_out(client);
    free(client->user);
    client->user = mem_alloc(sizeof(*client->user));
    *client->user = *user;
    group_add(&client->chat->room, &client->member, client->ws);
    chat_online_add(client->chat->online, user->id);
    count(client, METRIC_CHAT_LOGINS);
    watch_expiry(client);
    log_debug("chat login", LOG_NUMBER_FIELD("connection", client->id),
              LOG_TEXT_FIELD("user", user->id));
    ws_send(client->ws, WS_TEXT, SPAN("{\"info\": \"connected\"}"));
}

/* Hundreds may be done in one moment: what is said to those who are in goes before their answers. */
static void on_login(void *arg, const struct chat_user *user, const char *error)
{
    struct chat_client *client = arg;
    client->attempt = NULL;
    if (!ws_is_open(client->ws)) {
        return;
    }
    struct net *net = conn_net(ws_conn(client->ws));
    bool bulk = net_send_bulk(net, true);
    if (user == NULL) {
        count(client, METRIC_CHAT_LOGINS_FAILED);
        say_error(client, error);
    } else {
        log_in(client, user);
    }
    net_send_bulk(net, bulk);
}

/* -------------------------------------------------------------------------------------- in */

static void on_login_request(struct chat_client *client, const struct chat_request *request)
{
    struct chat_login *login = client->chat->login;
    struct buf token = {0}, name = {0}, password = {0};
    bool has_token = chat_field_text(request, CHAT_TOKEN, &token);
    bool has_name = chat_field_text(request, CHAT_USERNAME, &name) &&
                    chat_field_text(request, CHAT_PASSWORD, &password);
    if (client->attempt != NULL) {
        say_error(client, "a login is under way, please wait");
    } else if (has_token) {
        conn_set_costly(ws_conn(client->ws)); /* a signature */
        client->attempt = chat_login_token(login, buf_span(&token), on_login, client);
    } else if (has_name) {
        client->attempt =
            chat_login_password(login, buf_span(&name), buf_span(&password), on_login, client);
    } else {
        say_error(client, "a token, or username and password, have to be provided with action of "
                          "type login, as strings");
    }
    buf_free(&token);
    buf_free(&name);
    buf_free(&password);
}

static void on_stored(void *arg, uint64_t id, bool done)
{
    struct chat *chat = arg;
    struct chat_client *client = find_client(chat, id);
    chat_recent_stored(chat->recent, done);
    if (!done) {
        metrics_add(chat->options.metrics, METRIC_CHAT_UNDELIVERED, 1);
    }
    if (!done && client != NULL) {
        say_error(client, "the message could not be delivered, please try again later");
    }
}

static void store_message(struct chat_client *client, struct span json)
{
    struct chat *chat = client->chat;
    int queued = history_append(
        chat->options.store,
        &(struct history_append){
            .key = HISTORY_KEY,
            .value = json,
            .most = chat->options.history > KEPT_LEAST ? chat->options.history : KEPT_LEAST,
            .wait_ms = APPEND_MS,
            .fn = on_stored,
            .arg = chat,
            .tag = client->id,
        });
    if (queued != 0) {
        metrics_add(chat->options.metrics, METRIC_CHAT_UNDELIVERED, 1);
        say_error(client, "the message could not be delivered, please try again later");
    } else {
        chat_recent_sent(chat->recent, json);
        count(client, METRIC_CHAT_MESSAGES);
        chat_online_spoke(chat->online, client->user->id, client->user->nickname);
    }
}

/* ---------------------------------------------------------------------------------- history */

static void on_history(void *arg, uint64_t id, bool ok, struct span entries)
{
    struct chat *chat = arg;
    struct chat_client *client = find_client(chat, id);
    struct history_entry entry;
    struct buf out = {0};
    if (client == NULL || !is_logged_in(client)) {
        return;
    }
    if (!ok) {
        say_error(client, "the history cannot be reached now, please try again later");
        return;
    }
    buf_append(&out, SPAN("{\"history\": ["));
    for (size_t n = 0; history_next(&entries, &entry); n++) {
        if (out.len + entry.value.len > chat->options.answer_limit) {
            break;
        }
        buf_append(&out, n > 0 ? SPAN(", ") : SPAN(""));
        buf_append(&out, entry.value);
    }
    buf_append(&out, SPAN("]}"));
    group_give(&chat->room, &client->member); /* what it has heard is in the history */
    ws_send(client->ws, WS_TEXT, buf_span(&out));
    buf_free(&out);
}

/* From what this node heard, or else from the store. Where the link is not proved it may not have heard all. */
static const char *give_history(struct chat_client *client, uint32_t offset, uint32_t limit)
{
    struct chat *chat = client->chat;
    struct shared_message *answer =
        store_ready(chat->options.store) ? chat_recent_answer(chat->recent, offset, limit) : NULL;
    if (answer != NULL) {
        group_send_one(&chat->room, &client->member, answer);
        count(client, METRIC_WS_MESSAGES_OUT);
        return NULL;
    }
    return history_read(chat->options.store, HISTORY_KEY, offset, limit, on_history, chat,
                        client->id) == 0
               ? NULL
               : "the history cannot be reached now, please try again later";
}

/* --------------------------------------------------------------------------------- dispatch */

static void on_request(struct chat_client *client, struct span text)
{
    const struct chat_options *options = &client->chat->options;
    struct chat_request request;
    struct buf json = {0};
    uint32_t limit, offset;
    const char *wrong = chat_read(&request, &client->coming, text);
    if (request.action == CHAT_LOGIN) {
        on_login_request(client, &request);
        return;
    }
    if (!is_logged_in(client) || wrong != NULL) {
        say_error(client, !is_logged_in(client) ? "you need to authenticate first" : wrong);
        return;
    }
    switch (request.action) {
    case CHAT_MESSAGE:
        wrong = chat_broadcast(&request, client->user, options->text_limit, &json);
        if (wrong == NULL) {
            store_message(client, buf_span(&json));
        }
        break;
    case CHAT_HISTORY:
        wrong = chat_page(&request, options->history, &offset, &limit);
        wrong = wrong != NULL ? wrong : give_history(client, offset, limit);
        break;
    default:
        wrong = "unknown action, it has to be login, message or history";
        break;
    }
    if (wrong != NULL) {
        say_error(client, wrong);
    }
    buf_free(&json);
}

static void on_message(void *arg, enum ws_kind kind, struct span payload)
{
    struct chat_client *client = arg;
    const struct chat_options *options = &client->chat->options;
    if (!limit_take(&client->limit, options->rate, options->burst, 1, clock_monotonic_us())) {
        count(client, METRIC_CHAT_RATE_LIMITED);
        say_error(client, "too many messages, please slow down");
    } else if (kind == WS_BINARY) {
        say_error(client, is_logged_in(client) ? "messages have to be text, not binary"
                                               : "you need to authenticate first");
    } else {
        on_request(client, payload);
    }
    json_coming_free(&client->coming);
}

static void on_part(void *arg, enum ws_kind kind, struct span so_far)
{
    struct chat_client *client = arg;
    if (kind == WS_TEXT) {
        chat_read_part(&client->coming, so_far);
    }
}

static void on_closing(void *arg)
{
    struct chat_client *client = arg;
    if (is_logged_in(client)) {
        group_give(&client->chat->room, &client->member);
    }
}

static void on_closed(void *arg)
{
    struct chat_client *client = arg;
    chat_login_cancel(&client->attempt);
    log_out(client);
    map_remove(&client->chat->clients, &client->node);
    free(client->user);
    json_coming_free(&client->coming);
    free(client);
}

static void on_connect(void *arg, struct http_request *request)
{
    static const struct ws_handler handler = {
        .message = on_message, .part = on_part, .closing = on_closing, .closed = on_closed};
    struct chat *chat = arg;
    struct chat_client *client = mem_zalloc(sizeof(*client));
    client->chat = chat;
    client->ws = ws_accept(request, &handler, client);
    if (client->ws == NULL) {
        free(client);
        return;
    }
    client->id = conn_id(ws_conn(client->ws));
    list_init(&client->member.entry);
    wheel_timer_init(&client->expiry, on_expiry);
    map_insert(&chat->clients, &client->node, span_of(&client->id, sizeof(client->id)));
}

/* ---------------------------------------------------------------------------- the cluster's */

static void on_entry(void *arg, enum history_event event, const struct history_entry *entry)
{
    struct chat *chat = arg;
    chat_recent_heard(chat->recent, event, entry);
    if (event == HISTORY_ENTRY) {
        group_send(&chat->room, entry->value, GROUP_ALL);
    } else if (event == HISTORY_LOST) {
        metrics_add(chat->options.metrics, METRIC_CHAT_LOST, entry->lost);
        log_warn("chat messages were lost: more came than are kept, or the store lost its memory",
                 LOG_NUMBER_FIELD("lost", entry->lost));
    }
}

bool chat_each_online(void *chat, unsigned part, bool (*fn)(void *arg, struct span user), void *arg)
{
    return chat_online_each(((const struct chat *)chat)->online, part, fn, arg);
}

void chat_describe(const struct chat *chat, struct buf *out)
{
    chat_online_describe(chat->online, out);
}

/* ------------------------------------------------------------------------------------- HTTP */

static void on_api(void *arg, struct http_request *request)
{
    (void)arg;
    http_reply(request, 200, "application/json", SPAN("{\"status\": \"ok\"}"));
}

static void on_version(void *arg, struct http_request *request)
{
    const struct chat *chat = arg;
    struct buf out = {0};
    buf_append(&out, SPAN("{\"api\": \"" API_VERSION "\", \"env\": "));
    json_quote(span_str(chat->options.api_env), &out);
    buf_append(&out, SPAN(", \"desc\": "));
    json_quote(span_str(chat->options.api_desc), &out);
    buf_append(&out, SPAN("}"));
    http_reply(request, 200, "application/json", buf_span(&out));
    buf_free(&out);
}

static void count_gauges(void *arg, struct metrics *metrics)
{
    const struct chat *chat = arg;
    metrics_set(metrics, METRIC_CHAT_SOCKETS, chat->clients.count);
    metrics_set(metrics, METRIC_CHAT_USERS, chat->room.count);
}

struct chat *chat_new(struct http_server *server, const struct chat_options *options, char *error,
                      size_t error_size)
{
    struct chat_login *login = chat_login_new(&options->login, error, error_size);
    if (login == NULL) {
        return NULL;
    }
    struct chat *chat = mem_zalloc(sizeof(*chat));
    chat->options = *options;
    chat->login = login;
    group_init(&chat->room, options->metrics);
    map_init(&chat->clients);
    metrics_source_add(options->metrics, &chat->gauges, count_gauges, chat);
    chat->online = chat_online_new(&(struct chat_online_options){.store = options->store,
                                                                 .wheel = options->wheel,
                                                                 .net = options->net,
                                                                 .node = options->node});
    chat->recent =
        chat_recent_new(options->store, HISTORY_KEY, options->history, options->answer_limit);
    chat->watch = history_watch(options->store, HISTORY_KEY, on_entry, chat);
    if (options->login.development) {
        log_warn("chat login is in development mode: any token is believed");
    }
    http_route(server, "GET", "/api", on_api, chat);
    http_route(server, "GET", "/api/version", on_version, chat);
    http_route_websocket(server, "/chat", on_connect, chat);
    return chat;
}

void chat_free(struct chat **chat)
{
    if (*chat == NULL) {
        return;
    }
    metrics_source_remove((*chat)->options.metrics, &(*chat)->gauges);
    history_unwatch(&(*chat)->watch);
    chat_recent_free(&(*chat)->recent);
    chat_online_free(&(*chat)->online);
    chat_login_free(&(*chat)->login);
    map_deinit(&(*chat)->clients);
    free(*chat);
    *chat = NULL;
}
