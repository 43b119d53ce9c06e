/* SPDX-License-Identifier: MIT */
#include "store/bus_speaker.h"

#include "store/base/mem.h"

struct speaker {
    struct map_node node;
    uint64_t link;
    uint64_t heard_us;
    uint64_t number; /* of its last parcel over that link; 0: not known */
    char name[];
};

static void speaker_free(struct map *speakers, struct speaker *speaker)
{
    map_remove(speakers, &speaker->node);
    free(speaker);
}

/* A node that starts again has another name, so that old names would add up. */
static void forget_silent(struct map *speakers, uint64_t now_us)
{
    if (speakers->count < SPEAKERS_KEPT) {
        return;
    }
    MAP_EACH(it, speakers) {
        struct speaker *speaker = MAP_ENTRY(it, struct speaker, node);
        if (now_us - speaker->heard_us > SPEAKER_AGE_US) {
            speaker_free(speakers, speaker);
        }
    }
}

static struct speaker *speaker_new(struct map *speakers, struct span name, uint64_t now_us)
{
    forget_silent(speakers, now_us);
    struct speaker *speaker = mem_zalloc(sizeof(*speaker) + name.len);
    memcpy(speaker->name, name.ptr, name.len);
    map_insert(speakers, &speaker->node, span_of(speaker->name, name.len));
    return speaker;
}

bool bus_speaker_goes_on(struct map *speakers, struct span node, uint64_t link, uint64_t now_us)
{
    struct map_node *found = map_find(speakers, node);
    struct speaker *speaker = found != NULL ? MAP_ENTRY(found, struct speaker, node)
                                            : speaker_new(speakers, node, now_us);
    if (link < speaker->link) {
        return false;
    }
    speaker->number = link == speaker->link ? speaker->number : 0;
    speaker->link = link;
    speaker->heard_us = now_us;
    return true;
}

bool bus_speaker_missed(struct map *speakers, struct span node, uint64_t number)
{
    struct map_node *found = map_find(speakers, node);
    if (found == NULL) {
        return false;
    }
    struct speaker *speaker = MAP_ENTRY(found, struct speaker, node);
    bool missed = speaker->number != 0 && number != 1 && number != speaker->number + 1;
    speaker->number = number;
    return missed;
}

void bus_speakers_restart(struct map *speakers)
{
    MAP_EACH(it, speakers) {
        MAP_ENTRY(it, struct speaker, node)->number = 0;
    }
}

void bus_speakers_deinit(struct map *speakers)
{
    MAP_EACH(it, speakers) {
        speaker_free(speakers, MAP_ENTRY(it, struct speaker, node));
    }
    map_deinit(speakers);
}
