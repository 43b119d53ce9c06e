/* SPDX-License-Identifier: MIT */
/* A driver and --connections plain TCP devices; says `ready` when the driver was told of each, and
 * holds them until its standard input ends. */
#include "tests/bench/load/client.h"
#include "tests/bench/load/fail.h"
#include "tests/bench/load/mode.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

enum { AT_ONCE = 128 };

static uint32_t opened;

static void on_frame(struct client *client, const struct frame *frame)
{
    if (frame->payload.len == 0 || frame->payload.ptr[0] != 0) {
        fail("driver %u was told something else than OPENED", client->index);
    }
    opened++;
}

static void open_device(const struct options *options, uint32_t index)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in source = {.sin_family = AF_INET};
    source.sin_addr = client_source(index);
    must(fd >= 0, "socket");
    must(setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) == 0, "setsockopt");
    must(bind(fd, (struct sockaddr *)&source, sizeof(source)) == 0, "bind");
    int status = connect(fd, (const struct sockaddr *)&options->device, sizeof(options->device));
    must(status == 0 || errno == EINPROGRESS, "connect"); /* the end of the program closes it */
}

void mode_devices(struct loop *loop, const struct options *options)
{
    struct client_kind kind = {.path = options->path, .frame = on_frame};
    struct client driver;
    mode_needs_node(options);
    client_init(&driver, &kind, options->nodes[0], (struct in_addr){htonl(INADDR_LOOPBACK)}, 0);
    client_open_all(loop, &driver, 1);
    phase_set("connecting devices");
    for (uint32_t started = 0; opened < options->connections;) {
        while (started < options->connections && started - opened < AT_ONCE) {
            open_device(options, started++);
        }
        loop_turn(loop);
    }
    loop_hold(loop);
    printf("{\"devices\":%u}\n", opened);
}
