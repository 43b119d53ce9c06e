/* SPDX-License-Identifier: MIT */
/*     fetch_start --> waiting --a place is free--> going (libcurl) --done--> over --> fn, freed
 *                        '------ its time is over ---------------------------^
 *
 * libcurl says which descriptors and how long to wait; the loop says when; what is done is
 * collected afterwards, so that `fn` never runs inside libcurl. */
#include "node/proto/http/fetch.h"

#include "store/base/buf.h"
#include "store/base/clock.h"
#include "store/base/list.h"
#include "store/base/timer.h"

#include <curl/curl.h>
#include <stdio.h>

struct fetcher {
    struct event_base *base;
    CURLM *multi;
    struct event *timer; /* libcurl's */
    struct event *limit; /* the next of the waiting whose time is over; also collects */
    struct list going, waiting;
    unsigned parallel, most_waiting;
    unsigned going_count, waiting_count;
};

struct fetch {
    struct list entry;
    struct fetcher *fetcher;
    CURL *easy;
    struct curl_slist *fields;
    bool going;
    uint64_t until_ms;
    struct buf body;
    size_t body_limit;
    fetch_fn *fn;
    void *arg;
    char error[CURL_ERROR_SIZE];
};

enum { LOOK_AGAIN_MS = 100 };

struct watched {
    struct event *event;
};

static void fetch_free(struct fetch *fetch)
{
    struct fetcher *fetcher = fetch->fetcher;
    list_del(&fetch->entry);
    if (fetch->going) {
        curl_multi_remove_handle(fetcher->multi, fetch->easy);
        fetcher->going_count--;
    } else {
        fetcher->waiting_count--;
    }
    curl_easy_cleanup(fetch->easy);
    curl_slist_free_all(fetch->fields);
    buf_free(&fetch->body);
    free(fetch);
}

/* ------------------------------------------------------------------------------------- flow */

/* Hands `fetch` over and frees it. */
static void finish(struct fetch *fetch, int status, const char *error)
{
    fetch_fn *fn = fetch->fn;
    void *arg = fetch->arg;
    struct buf body = fetch->body;
    char text[CURL_ERROR_SIZE];
    fetch->body = (struct buf){0};
    snprintf(text, sizeof(text), "%s", error);
    fetch_free(fetch);
    fn(arg, status, status != 0 ? buf_span(&body) : span_of(NULL, 0), text);
    buf_free(&body);
}

static void collect(struct fetcher *fetcher)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(fetcher->multi, &left)) != NULL) {
        struct fetch *fetch = NULL;
        long status = 0;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&fetch);
        curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &status);
        if (code == CURLE_OK) {
            finish(fetch, (int)status, "");
        } else {
            finish(fetch, 0, fetch->error[0] != '\0' ? fetch->error : curl_easy_strerror(code));
        }
    }
}

static void start_waiting(struct fetcher *fetcher)
{
    uint64_t now = clock_monotonic_ms();
    while (fetcher->going_count < fetcher->parallel && !list_empty(&fetcher->waiting)) {
        struct fetch *fetch = LIST_ITEM(fetcher->waiting.next, struct fetch, entry);
        list_del(&fetch->entry);
        list_push_back(&fetcher->going, &fetch->entry);
        fetch->going = true;
        fetcher->waiting_count--;
        fetcher->going_count++;
        long left = fetch->until_ms > now ? (long)(fetch->until_ms - now) : 1;
        curl_easy_setopt(fetch->easy, CURLOPT_TIMEOUT_MS, left);
        curl_multi_add_handle(fetcher->multi, fetch->easy);
    }
}

static void end_late(struct fetcher *fetcher)
{
    uint64_t now = clock_monotonic_ms();
    while (!list_empty(&fetcher->waiting)) {
        struct fetch *fetch = LIST_ITEM(fetcher->waiting.next, struct fetch, entry);
        if (fetch->until_ms > now) {
            break;
        }
        finish(fetch, 0, "its time was over before its turn came");
    }
}

/* After anything that libcurl may have moved on. */
static void go_on(struct fetcher *fetcher)
{
    collect(fetcher);
    end_late(fetcher);
    start_waiting(fetcher);
    if (!list_empty(&fetcher->waiting)) {
        timer_after(fetcher->limit, LOOK_AGAIN_MS);
    }
}

static void on_limit(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    go_on(arg);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct fetcher *fetcher = arg;
    int running;
    (void)fd, (void)what;
    curl_multi_socket_action(fetcher->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    go_on(fetcher);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct fetcher *fetcher = arg;
    int action = ((what & EV_READ) != 0 ? CURL_CSELECT_IN : 0) |
                 ((what & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0);
    int running;
    curl_multi_socket_action(fetcher->multi, fd, action, &running);
    go_on(fetcher);
}

/* ------------------------------------------------------------------------- libcurl's wishes */

static int want_time(CURLM *multi, long ms, void *arg)
{
    struct fetcher *fetcher = arg;
    (void)multi;
    if (ms < 0) {
        evtimer_del(fetcher->timer);
    } else {
        timer_after(fetcher->timer, (uint64_t)ms);
    }
    return 0;
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    struct fetcher *fetcher = arg;
    struct watched *watched = known;
    (void)easy;
    if (watched != NULL) {
        event_free(watched->event);
    }
    if (what == CURL_POLL_REMOVE) {
        free(watched);
        return 0;
    }
    if (watched == NULL) {
        watched = mem_zalloc(sizeof(*watched));
        curl_multi_assign(fetcher->multi, fd, watched);
    }
    short events = (short)(EV_PERSIST | ((what & CURL_POLL_IN) != 0 ? EV_READ : 0) |
                           ((what & CURL_POLL_OUT) != 0 ? EV_WRITE : 0));
    watched->event = event_new(fetcher->base, fd, events, on_socket, fetcher);
    event_add(watched->event, NULL);
    return 0;
}

static size_t take_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct fetch *fetch = arg;
    size_t len = size * count;
    if (fetch->body.len + len > fetch->body_limit) {
        return 0; /* ends it as CURLE_WRITE_ERROR */
    }
    buf_append(&fetch->body, span_of(bytes, len));
    return len;
}

/* ------------------------------------------------------------------------------------ calls */

static void add_field(struct fetch *fetch, const char *name, const char *value)
{
    struct buf line = {0};
    buf_printf(&line, "%s: %s", name, value);
    fetch->fields = curl_slist_append(fetch->fields, buf_text(&line));
    buf_free(&line);
}

static void set_options(struct fetch *fetch, const struct fetch_request *request)
{
    CURL *easy = fetch->easy;
    add_field(fetch, "Accept", "application/json");
    if (request->bearer != NULL) {
        struct buf value = {0};
        buf_printf(&value, "Bearer %s", request->bearer);
        add_field(fetch, "Authorization", buf_text(&value));
        buf_free(&value);
    }
    if (request->json.ptr != NULL) {
        add_field(fetch, "Content-Type", "application/json");
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->json.len);
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request->json.ptr);
    }
    curl_easy_setopt(easy, CURLOPT_URL, request->url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, fetch->fields);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* or its end waits for the name's thread */
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "muster/" MUSTER_VERSION);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, fetch);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, fetch);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, fetch->error);
}

struct fetch *fetch_start(struct fetcher *fetcher, const struct fetch_request *request,
                          fetch_fn *fn, void *arg)
{
    if (fetcher->waiting_count >= fetcher->most_waiting) {
        return NULL;
    }
    struct fetch *fetch = mem_zalloc(sizeof(*fetch));
    fetch->fetcher = fetcher;
    fetch->easy = curl_easy_init();
    if (fetch->easy == NULL) {
        free(fetch);
        return NULL;
    }
    fetch->fn = fn;
    fetch->arg = arg;
    fetch->body_limit = request->body_limit;
    fetch->until_ms = clock_monotonic_ms() + request->limit_ms;
    set_options(fetch, request);
    list_push_back(&fetcher->waiting, &fetch->entry);
    fetcher->waiting_count++;
    timer_after(fetcher->limit, 0);
    return fetch;
}

void fetch_cancel(struct fetch **fetch)
{
    if (*fetch != NULL) {
        timer_after((*fetch)->fetcher->limit, 0); /* its place is free */
        fetch_free(*fetch);
        *fetch = NULL;
    }
}

void fetch_escape(struct span text, struct buf *out)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    bool dots = span_eq(text, SPAN(".")) || span_eq(text, SPAN("..")); /* would be resolved away */
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c != '\0' && strchr(plain, c) != NULL && !dots) {
            buf_append(out, span_of(text.ptr + i, 1));
        } else {
            buf_printf(out, "%%%02X", c);
        }
    }
}

/* Built otherwise it would hold up the loop for as long as a name takes. */
static bool looks_up_aside(void)
{
    return (curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_ASYNCHDNS) != 0;
}

struct fetcher *fetch_pool_new(const struct fetcher_options *options)
{
    struct fetcher *fetcher = mem_zalloc(sizeof(*fetcher));
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
        (fetcher->multi = curl_multi_init()) == NULL || !looks_up_aside()) {
        fprintf(stderr, "muster: libcurl cannot be set up, or looks up names without threads\n");
        abort();
    }
    fetcher->base = options->base;
    fetcher->parallel = options->parallel;
    fetcher->most_waiting = options->waiting;
    list_init(&fetcher->going);
    list_init(&fetcher->waiting);
    fetcher->timer = evtimer_new(options->base, on_timer, fetcher);
    fetcher->limit = evtimer_new(options->base, on_limit, fetcher);
    curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETDATA, fetcher);
    curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERFUNCTION, want_time);
    curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERDATA, fetcher);
    curl_multi_setopt(fetcher->multi, CURLMOPT_MAXCONNECTS, (long)options->parallel);
    return fetcher;
}

static void free_all(struct list *list)
{
    while (!list_empty(list)) {
        fetch_free(LIST_ITEM(list->next, struct fetch, entry));
    }
}

void fetch_pool_free(struct fetcher **fetcher)
{
    if (*fetcher == NULL) {
        return;
    }
    free_all(&(*fetcher)->going);
    free_all(&(*fetcher)->waiting);
    curl_multi_cleanup((*fetcher)->multi); /* still asks for its sockets to be let go */
    event_free((*fetcher)->timer);
    event_free((*fetcher)->limit);
    curl_global_cleanup();
    free(*fetcher);
    *fetcher = NULL;
}
