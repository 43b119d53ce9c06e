/* SPDX-License-Identifier: MIT */
#include "node/app/beat.h"
#include "store/base/timer.h"

#include <sys/mman.h>

static struct beat *chosen; /* NULL: this process is no worker */
static bool (*is_ready)(void *arg);

struct beat *beat_page_new(unsigned workers)
{
    void *page = mmap(NULL, workers * sizeof(struct beat), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return page != MAP_FAILED ? page : NULL;
}

void beat_choose(struct beat *own)
{
    chosen = own;
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    chosen->count++;
    chosen->ready = is_ready(arg);
}

struct event *beat_start(struct event_base *base, bool (*ready)(void *arg), void *arg)
{
    if (chosen == NULL) {
        return NULL;
    }
    is_ready = ready;
    struct event *event = event_new(base, -1, EV_PERSIST, on_second, arg);
    timer_after(event, 1000);
    return event;
}

void beat_stop(struct event **event)
{
    if (*event != NULL) {
        event_free(*event);
        *event = NULL;
    }
}
