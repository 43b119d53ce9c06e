/* SPDX-License-Identifier: MIT */
/* --connections in groups of --members, on the nodes in turn (member m of group g is on node (g + m)
 * mod nodes), on a server of --dialect. The first of a group publishes. Where the server would send
 * it its own words back it does not join, unless --all-join. Says how long all took to be in, and
 * then does what each line of its standard input asks for, answered by a line of JSON:
 *
 *   window COUNT SECONDS   so many publications of each group are on their way at any time
 *   paced SECONDS          each group publishes once in --period-ms
 *
 * A publication is done when every member has it. The end of input ends the program. */
#include "store/base/mem.h"
#include "tests/bench/load/client.h"
#include "tests/bench/load/dialect.h"
#include "tests/bench/load/fail.h"
#include "tests/bench/load/message.h"
#include "tests/bench/load/mode.h"
#include "tests/bench/load/schedule.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    WINDOW_MAX = 64,
    ID_SIZE = 32,
    PATH_SIZE = 96,
};

static const uint64_t DRAIN_NS = 60000000000U; /* for what is on its way at the end of a phase */

struct crowd;

struct group {
    struct crowd *crowd;
    char id[ID_SIZE], paths[2][PATH_SIZE];
    struct place places[2]; /* of its members, of its sender */
    struct client_kind kinds[2];
    struct client *sender;
    uint32_t sent, done, receivers;
    uint32_t have[WINDOW_MAX];
};

struct crowd {
    struct loop *loop;
    const struct options *options;
    const struct dialect *dialect;
    struct message message;
    struct group *groups;
    struct client *clients;
    struct schedule schedule;
    uint32_t group_count, in;
    uint64_t due, received, lost;
    uint32_t window; /* not 0: so many are on their way, what is done is followed by the next */
};

static void publish(struct group *group)
{
    struct crowd *crowd = group->crowd;
    crowd->due += group->receivers;
    struct span data = message_number(&crowd->message, group->sent++);
    crowd->dialect->publish(group->sender, &group->places[1], data);
}

static void fill_window(struct group *group)
{
    while (group->sent - group->done < group->crowd->window) {
        publish(group);
    }
}

static void note_done(struct group *group)
{
    while (group->done < group->sent && group->have[group->done % WINDOW_MAX] == group->receivers) {
        group->have[group->done % WINDOW_MAX] = 0;
        group->done++;
    }
    fill_window(group);
}

/* What was passed over is lost; nothing may come twice, or behind what was published after it. */
static void note_data(struct group *group, struct client *client, struct span data)
{
    int64_t number = message_number_of(&group->crowd->message, data);
    if (number < client->received || number >= group->sent) {
        fail("client %u wants publication %u, got %" PRId64 ": %.*s", client->index,
             client->received, number, SPAN_ARG(data));
    }
    group->crowd->lost += (uint64_t)number - client->received;
    client->received = (uint32_t)number + 1;
    group->crowd->received++;
    if (group->crowd->window > 0) {
        group->have[number % WINDOW_MAX]++;
        note_done(group);
    }
}

static struct group *group_of(const struct client *client)
{
    return client->kind->arg;
}

static void note_in(struct client *client)
{
    group_of(client)->crowd->in += client->joined ? 0 : 1;
    client->joined = true;
}

static size_t on_bytes(struct client *client, struct span in)
{
    struct group *group = group_of(client);
    const struct place *place = &group->places[client == group->sender ? 1 : 0];
    size_t taken = 0;
    while (taken < in.len) {
        struct news news = {0};
        struct span rest = span_skip(in, taken);
        int64_t n = group->crowd->dialect->take(client, place, rest, &news);
        if (n < 0) {
            fail("client %u of %s got: %.*s", client->index, group->crowd->dialect->name,
                 SPAN_ARG(rest));
        }
        if (n == 0) {
            break;
        }
        if (news.kind == NEWS_IN) {
            note_in(client);
        } else if (news.kind == NEWS_DATA) {
            note_data(group, client, news.data);
        }
        taken += (size_t)n;
    }
    return taken;
}

static void on_frame(struct client *client, const struct frame *frame)
{
    on_bytes(client, frame->payload);
}

static void on_open(struct client *client)
{
    struct group *group = group_of(client);
    if (group->crowd->dialect->open(client, &group->places[client == group->sender ? 1 : 0])) {
        note_in(client);
    }
}

static void init_group(struct crowd *crowd, uint32_t number)
{
    const struct options *options = crowd->options;
    const struct dialect *dialect = crowd->dialect;
    struct group *group = &crowd->groups[number];
    bool counted = options->all_join || dialect->sender_is_spared;
    group->crowd = crowd;
    group->receivers = options->members - 1;
    group->sender = &crowd->clients[(size_t)number * options->members];
    snprintf(group->id, sizeof(group->id), "%s-%u", options->session, number);
    for (uint32_t i = 0; i < 2; i++) {
        bool sender = i == 1;
        const char *form = sender && !options->all_join && dialect->sender_path != NULL
                               ? dialect->sender_path
                               : dialect->path;
        const char *hole = strstr(form, "%s");
        int before = hole != NULL ? (int)(hole - form) : (int)strlen(form);
        snprintf(group->paths[i], PATH_SIZE, "%.*s%s%s", before, form,
                 hole != NULL ? group->id : "", hole != NULL ? hole + 2 : "");
        group->places[i] = (struct place){.group = group->id,
                                          .members = options->members,
                                          .sender = sender,
                                          .counted = !sender || counted,
                                          .data_size = options->size};
        group->kinds[i] = (struct client_kind){.path = group->paths[i],
                                               .frame = on_frame,
                                               .bytes = dialect->bytes ? on_bytes : NULL,
                                               .open = on_open,
                                               .arg = group};
    }
}

static void open_all(struct crowd *crowd)
{
    const struct options *options = crowd->options;
    uint32_t count = crowd->group_count * options->members;
    crowd->groups = mem_zalloc(crowd->group_count * sizeof(*crowd->groups));
    crowd->clients = mem_zalloc(count * sizeof(*crowd->clients));
    for (uint32_t i = 0; i < crowd->group_count; i++) {
        init_group(crowd, i);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = i / options->members, member = i % options->members;
        struct group *group = &crowd->groups[number];
        client_init(&crowd->clients[i], &group->kinds[member == 0 ? 1 : 0],
                    options->nodes[(number + member) % options->node_count], client_source(i), i);
    }
    uint64_t start = now_ns();
    phase_set("connecting");
    client_open_all(crowd->loop, crowd->clients, count);
    phase_set("joining");
    while (crowd->in < count) {
        loop_turn(crowd->loop);
    }
    uint32_t members = count - (crowd->groups[0].places[1].counted ? 0 : crowd->group_count);
    printf("{\"connections\":%u,\"members\":%u,\"seconds\":%.6f}\n", count, members,
           (double)(now_ns() - start) / 1e9);
    fflush(stdout);
}

static void on_due(void *arg, uint32_t which)
{
    struct crowd *crowd = arg;
    publish(&crowd->groups[which]);
}

/* Until all that was published has come, or is given up. */
static void drain(struct crowd *crowd)
{
    uint64_t end = now_ns() + DRAIN_NS;
    while (crowd->received + crowd->lost < crowd->due && now_ns() < end) {
        loop_turn(crowd->loop);
    }
    crowd->lost = crowd->due - crowd->received;
    for (uint32_t i = 0; i < crowd->group_count * crowd->options->members; i++) {
        crowd->clients[i].received = group_of(&crowd->clients[i])->sent;
    }
    for (uint32_t i = 0; i < crowd->group_count; i++) {
        struct group *group = &crowd->groups[i];
        group->done = group->sent;
        memset(group->have, 0, sizeof(group->have));
    }
}

static void run_phase(struct crowd *crowd, const char *line)
{
    double seconds = 0;
    uint32_t window = 0;
    if (sscanf(line, "window %u %lf", &window, &seconds) != 2 &&
        sscanf(line, "paced %lf", &seconds) != 1) {
        fail("%s: not known", line);
    }
    if (window > WINDOW_MAX) {
        fail("a window is %d at most", WINDOW_MAX);
    }
    uint64_t start = now_ns();
    crowd->due = crowd->received = crowd->lost = 0;
    crowd->window = window;
    for (uint32_t i = 0; i < crowd->group_count; i++) {
        fill_window(&crowd->groups[i]);
    }
    if (window == 0) {
        schedule_start(&crowd->schedule);
    }
    loop_run_for(crowd->loop, seconds);
    crowd->window = 0;
    schedule_stop(&crowd->schedule);
    drain(crowd);
    uint64_t each = crowd->groups[0].receivers;
    printf("{\"pushes\":%" PRIu64 ",\"deliveries\":%" PRIu64 ",\"lost\":%" PRIu64
           ",\"seconds\":%.6f}\n",
           crowd->due / each, crowd->received, crowd->lost, (double)(now_ns() - start) / 1e9);
    fflush(stdout);
}

struct input {
    struct handler handler;
    char line[128];
    size_t len;
    bool whole, ended;
};

static void on_input(struct handler *handler, uint32_t events)
{
    struct input *input = CONTAINER_OF(handler, struct input, handler);
    (void)events;
    ssize_t n = read(handler->fd, input->line + input->len, sizeof(input->line) - 1 - input->len);
    if (n <= 0) {
        input->ended = true;
        return;
    }
    input->len += (size_t)n;
    input->line[input->len] = '\0';
    input->whole = strchr(input->line, '\n') != NULL;
}

/* One line at a time: the one who asks waits for the answer. */
static void obey(struct crowd *crowd)
{
    struct input input = {.handler = {.fd = STDIN_FILENO, .ready = on_input}};
    loop_add(crowd->loop, &input.handler, EPOLLIN);
    while (!input.ended) {
        phase_set("waiting for what to do");
        loop_turn(crowd->loop);
        if (input.whole) {
            phase_set("publishing");
            run_phase(crowd, input.line);
            input.len = 0;
            input.whole = false;
        }
    }
}

void mode_crowd(struct loop *loop, const struct options *options)
{
    mode_needs_node(options);
    if (options->members < 2) {
        fail("--members must be 2 or more");
    }
    struct crowd crowd = {.loop = loop,
                          .options = options,
                          .dialect = dialect_find(options->dialect),
                          .group_count = options->connections / options->members};
    if (crowd.group_count == 0) {
        fail("--connections must be --members or more");
    }
    message_init_data(&crowd.message, options->size);
    crowd.schedule.due = on_due;
    crowd.schedule.arg = &crowd;
    schedule_init(&crowd.schedule, loop, crowd.group_count, (uint64_t)options->period_ms * 1000000U,
                  1);
    open_all(&crowd);
    obey(&crowd);
    client_close_all(crowd.clients, (size_t)crowd.group_count * options->members);
}
