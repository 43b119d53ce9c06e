/* SPDX-License-Identifier: MIT */
/* --sessions of --members on the nodes: member m of session s is on node (s + m) mod nodes, the
 * first is the leader and pushes every --period-ms. With --redis, a bare pair publishes as many
 * messages of that size at the same time; with --sessions 0 it is alone, --rate a second. */
#include "store/base/mem.h"
#include "tests/bench/load/bare_pair.h"
#include "tests/bench/load/client.h"
#include "tests/bench/load/fail.h"
#include "tests/bench/load/message.h"
#include "tests/bench/load/mode.h"
#include "tests/bench/load/samples.h"
#include "tests/bench/load/schedule.h"
#include "tests/bench/load/sync.h"

#include <inttypes.h>

enum {
    RING = 256, /* pushes of one session on their way at most */
    SESSION_ID_SIZE = 64,
};

struct session {
    char id[SESSION_ID_SIZE];
    struct message message;
    uint32_t sent;
    uint64_t sent_at[RING];
};

struct pushes {
    struct loop *loop;
    const struct options *options;
    struct client_kind kind;
    struct client *clients; /* sessions * members; the members of a session stand together */
    struct session *sessions;
    struct schedule schedule, bare_schedule;
    struct bare_pair bare;
    struct samples samples;
    uint32_t complete; /* clients that have seen their whole session */
    uint64_t sent, received;
    bool recording;
};

static void note_delivery(struct pushes *pushes, struct client *client,
                          const struct session *session)
{
    uint64_t sent_at = session->sent_at[client->received++ % RING];
    pushes->received++;
    if (pushes->recording) {
        samples_add(&pushes->samples, now_ns() - sent_at);
    }
}

static void note_state(struct pushes *pushes, struct client *client, struct span text)
{
    struct session_state state;
    if (!sync_state(text, &state)) {
        fail("client %u wants push %u, got: %.*s", client->index, client->received, SPAN_ARG(text));
    }
    bool whole = state.players == pushes->options->members && state.leader;
    if (whole != client->joined) {
        pushes->complete += whole ? 1 : UINT32_MAX;
        client->joined = whole;
    }
}

static void on_frame(struct client *client, const struct frame *frame)
{
    struct pushes *pushes = client->kind->arg;
    const struct session *session = &pushes->sessions[client->index / pushes->options->members];
    bool receives = client->index % pushes->options->members > 0;
    if (receives && client->received < session->sent &&
        message_is(&session->message, frame->payload, client->received)) {
        note_delivery(pushes, client, session);
        return;
    }
    note_state(pushes, client, frame->payload);
}

static void on_due(void *arg, uint32_t which)
{
    struct pushes *pushes = arg;
    struct session *session = &pushes->sessions[which];
    struct span text = message_number(&session->message, session->sent);
    session->sent_at[session->sent++ % RING] = now_ns();
    pushes->sent++;
    client_send(&pushes->clients[which * pushes->options->members], text);
}

static void on_bare_due(void *arg, uint32_t which)
{
    struct pushes *pushes = arg;
    (void)which;
    bare_pair_publish(&pushes->bare);
}

static void open_sessions(struct pushes *pushes)
{
    const struct options *options = pushes->options;
    pushes->kind = (struct client_kind){.path = options->path, .frame = on_frame, .arg = pushes};
    pushes->sessions = mem_zalloc(options->sessions * sizeof(*pushes->sessions));
    pushes->clients =
        mem_zalloc((size_t)options->sessions * options->members * sizeof(*pushes->clients));
    for (uint32_t i = 0; i < options->sessions * options->members; i++) {
        uint32_t session = i / options->members, member = i % options->members;
        client_init(&pushes->clients[i], &pushes->kind,
                    options->nodes[(session + member) % options->node_count], client_source(i), i);
    }
    for (uint32_t i = 0; i < options->sessions; i++) {
        struct session *session = &pushes->sessions[i];
        snprintf(session->id, sizeof(session->id), "%s-%u", options->session, i);
        message_init(&session->message, session->id, options->size);
    }
    phase_set("connecting");
    client_open_all(pushes->loop, pushes->clients, options->sessions * options->members);
}

static void join_sessions(struct pushes *pushes)
{
    uint32_t members = pushes->options->members, count = pushes->options->sessions * members;
    phase_set("joining the sessions");
    for (uint32_t i = 0; i < count; i++) {
        sync_join(&pushes->clients[i], pushes->sessions[i / members].id, i % members == 0);
    }
    while (pushes->complete < count) {
        loop_turn(pushes->loop);
    }
}

static void start_schedules(struct pushes *pushes)
{
    const struct options *options = pushes->options;
    uint64_t period = (uint64_t)options->period_ms * 1000000U;
    uint32_t bare = options->rate != 0 ? (uint32_t)(options->rate * options->period_ms / 1000U)
                                       : options->sessions;
    if (options->sessions > 0) {
        pushes->schedule.due = on_due;
        pushes->schedule.arg = pushes;
        schedule_init(&pushes->schedule, pushes->loop, options->sessions, period, 1);
        schedule_start(&pushes->schedule);
    }
    if (options->has_redis) {
        pushes->bare_schedule.due = on_bare_due;
        pushes->bare_schedule.arg = pushes;
        schedule_init(&pushes->bare_schedule, pushes->loop, bare, period, 2);
        schedule_start(&pushes->bare_schedule);
    }
}

static void record(struct pushes *pushes, bool on)
{
    pushes->recording = on;
    pushes->bare.recording = on;
}

/* Until everything sent has come, or two seconds have gone. */
static void drain(struct pushes *pushes)
{
    uint64_t end = now_ns() + 2000000000U;
    uint64_t due = pushes->sent * (pushes->options->members - 1);
    schedule_stop(&pushes->schedule);
    schedule_stop(&pushes->bare_schedule);
    while ((pushes->received < due || pushes->bare.received < pushes->bare.published) &&
           now_ns() < end) {
        loop_turn(pushes->loop);
    }
}

static void print_result(struct pushes *pushes)
{
    uint64_t due = pushes->sent * (pushes->options->members - 1);
    printf("{\"pushes\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"bare_lost\":%u,", pushes->sent,
           due - pushes->received, pushes->bare.published - pushes->bare.received);
    samples_print(&pushes->samples, "all");
    putchar(',');
    samples_print(&pushes->bare.samples, "bare");
    puts("}");
}

void mode_pushes(struct loop *loop, const struct options *options)
{
    struct pushes *pushes = mem_zalloc(sizeof(*pushes));
    pushes->loop = loop;
    pushes->options = options;
    if (options->sessions > 0) {
        mode_needs_node(options);
        open_sessions(pushes);
        join_sessions(pushes);
    }
    if (options->has_redis) {
        bare_pair_open(&pushes->bare, loop, &options->redis, options->size);
    }
    start_schedules(pushes);
    phase_set("warming up");
    loop_run_for(loop, options->warm_up);
    record(pushes, true);
    phase_set("measuring");
    loop_run_for(loop, options->seconds);
    record(pushes, false);
    drain(pushes);
    print_result(pushes);
    client_close_all(pushes->clients, (size_t)options->sessions * options->members);
}
