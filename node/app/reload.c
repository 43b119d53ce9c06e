/* SPDX-License-Identifier: MIT */
#include "node/app/reload.h"

#include "node/core/log.h"
#include "store/base/mem.h"
#include "store/base/timer.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct reload {
    struct settings *settings;
    struct event *hup, *usr1, *usr2, *look; /* usr2 NULL: somebody else's */
    struct store *store;
    bool login; /* the store's URL changed, this time */
};

static void on_change(void *arg, const char *name, bool live)
{
    struct reload *reload = arg;
    if (strcmp(name, "store") == 0) {
        reload->login = true;
    } else if (live) {
        log_info("setting changed", LOG_TEXT_FIELD("name", name));
    } else {
        log_warn("setting changed, which needs a restart", LOG_TEXT_FIELD("name", name));
    }
}

/* Links that are up stay; their servers would hear of the new login when they are made again. */
static void log_in(struct reload *reload)
{
    char error[256] = "there is none here";
    if (reload->store != NULL &&
        store_login_as(reload->store, reload->settings->store, error, sizeof(error)) == 0) {
        log_info("setting changed: new links log in with it", LOG_TEXT_FIELD("name", "store"));
    } else {
        log_warn("setting changed, which needs a restart", LOG_TEXT_FIELD("name", "store"),
                 LOG_TEXT_FIELD("error", error));
    }
}

static void read_again(struct reload *reload)
{
    char error[512];
    reload->login = false;
    if (settings_reload(reload->settings, on_change, reload, error, sizeof(error)) != 0) {
        log_error("settings cannot be read again; those in force stay",
                  LOG_TEXT_FIELD("error", error));
        return;
    }
    log_setup(reload->settings->log_level, reload->settings->log_format);
    if (reload->login) {
        log_in(reload);
    }
}

static void on_hup(evutil_socket_t number, short what, void *arg)
{
    (void)number;
    (void)what;
    log_info("SIGHUP: reading the settings again");
    read_again(arg);
}

static void on_user_signal(evutil_socket_t number, short what, void *arg)
{
    (void)what;
    (void)arg;
    log_info("this signal means nothing here", LOG_NUMBER_FIELD("signal", number));
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct reload *reload = arg;
    if (settings_are_stale(reload->settings)) {
        log_info("a file of the settings changed: reading them again");
        read_again(reload);
    }
}

static struct event *watch(struct event_base *base, int number, event_callback_fn fn,
                           struct reload *reload)
{
    struct event *event = evsignal_new(base, number, fn, reload);
    event_add(event, NULL);
    return event;
}

struct reload *reload_new(struct event_base *base, struct settings *settings, struct store *store,
                          bool usr2)
{
    struct reload *reload = mem_zalloc(sizeof(*reload));
    reload->settings = settings;
    reload->store = store;
    reload->hup = watch(base, SIGHUP, on_hup, reload);
    reload->usr1 = watch(base, SIGUSR1, on_user_signal, reload);
    reload->usr2 = usr2 ? watch(base, SIGUSR2, on_user_signal, reload) : NULL;
    reload->look = event_new(base, -1, EV_PERSIST, on_look, reload);
    if (settings->files.len > 0) {
        timer_after(reload->look, 1000);
    }
    return reload;
}

void reload_free(struct reload **reload)
{
    if (*reload != NULL) {
        event_free((*reload)->hup);
        event_free((*reload)->usr1);
        if ((*reload)->usr2 != NULL) {
            event_free((*reload)->usr2);
        }
        event_free((*reload)->look);
        free(*reload);
        *reload = NULL;
    }
}
