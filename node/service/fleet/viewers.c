/* SPDX-License-Identifier: MIT */
#include "node/service/fleet/viewers.h"

#include "store/base/buf.h"

static struct fleet_viewer *viewer_of(struct receiver *member)
{
    return CONTAINER_OF(member, struct fleet_viewer, member);
}

static bool is_shown(struct receiver *member, uint64_t as_of)
{
    (void)as_of;
    return viewer_of(member)->shown;
}

static bool is_new(struct receiver *member, uint64_t as_of)
{
    return !is_shown(member, as_of);
}

static const struct group_choice shown = {.wants = is_shown}, new = {.wants = is_new};

void fleet_viewers_show_view(struct group *viewers, struct span view)
{
    group_send_late(viewers, view, new);
    LIST_EACH(it, &viewers->receivers) {
        struct receiver *member = LIST_ITEM(it, struct receiver, entry);
        group_give(viewers, member);
        viewer_of(member)->shown = true;
    }
}

void fleet_viewers_send(struct group *viewers, struct span text)
{
    group_send_late(viewers, text, shown);
}

void fleet_viewers_send_new(struct group *viewers, struct span text)
{
    group_send_late(viewers, text, new);
}

void fleet_viewers_show(struct group *viewers, const char *what, struct span json)
{
    struct buf text = {0};
    buf_printf(&text, "{\"%s\":", what);
    buf_append(&text, json);
    buf_append(&text, SPAN("}"));
    fleet_viewers_send(viewers, buf_span(&text));
    buf_free(&text);
}
