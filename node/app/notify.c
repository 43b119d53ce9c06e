/* SPDX-License-Identifier: MIT */
#include "node/app/notify.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { NOTIFY_TEXT = 256 };

/* A name that begins with '@' is one of Linux' abstract sockets: its first byte is 0 on the wire. */
static socklen_t manager_address(struct sockaddr_un *address)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t length = path != NULL ? strlen(path) : 0;
    if (length < 2 || length >= sizeof(address->sun_path) || (path[0] != '/' && path[0] != '@')) {
        return 0;
    }
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->sun_path, path, length);
    if (path[0] == '@') {
        address->sun_path[0] = '\0';
    }
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

/* A manager that cannot be reached is not worth an error: clients are served all the same. */
static void notify_send(const char *text)
{
    struct sockaddr_un address;
    socklen_t length = manager_address(&address);
    int fd = length > 0 ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
    if (fd >= 0) {
        sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&address, length);
        close(fd);
    }
}

void notify_ready(const char *status)
{
    char text[NOTIFY_TEXT];
    snprintf(text, sizeof(text), "READY=1\nSTATUS=%s\n", status);
    notify_send(text);
}

void notify_main(void)
{
    char text[NOTIFY_TEXT];
    snprintf(text, sizeof(text), "MAINPID=%d\nREADY=1\nSTATUS=serving\n", (int)getpid());
    notify_send(text);
}

void notify_stopping(uint64_t most_ms)
{
    char text[NOTIFY_TEXT];
    snprintf(text, sizeof(text), "STOPPING=1\nSTATUS=leaving\nEXTEND_TIMEOUT_USEC=%" PRIu64 "\n",
             most_ms * 1000);
    notify_send(text);
}
