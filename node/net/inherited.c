/* SPDX-License-Identifier: MIT */
#include "node/net/inherited.h"

#include "store/base/mem.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct inherited {
    int fd, type, family;
    struct address address;
};

static struct inherited *all; /* the process has one set of descriptors */
static size_t count;
static bool keeps;

static int option(int fd, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0 ? value : -1;
}

/* A listening TCP socket, or a UDP socket that hears everybody. */
static bool describe(int fd, struct inherited *out)
{
    struct sockaddr_storage bound, peer;
    socklen_t len = sizeof(bound), peer_len = sizeof(peer);
    int family = option(fd, SO_DOMAIN), type = option(fd, SO_TYPE);
    if ((family != AF_INET && family != AF_INET6) ||
        getsockname(fd, (struct sockaddr *)&bound, &len) != 0) {
        return false;
    }
    *out = (struct inherited){fd, type, family, address_of((struct sockaddr *)&bound)};
    bool listens = type == SOCK_STREAM && option(fd, SO_ACCEPTCONN) == 1;
    bool hears = type == SOCK_DGRAM && getpeername(fd, (struct sockaddr *)&peer, &peer_len) != 0;
    return out->address.port != 0 && (listens || hears);
}

void inherited_add(int fd)
{
    struct inherited one;
    if (!describe(fd, &one)) {
        close(fd);
        return;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    all = mem_realloc(all, (count + 1) * sizeof(*all));
    all[count++] = one;
}

static struct inherited *find(int type, int family, const struct address *address)
{
    for (size_t i = 0; i < count; i++) {
        struct inherited *it = &all[i];
        if (it->fd >= 0 && it->type == type && it->family == family &&
            address_eq(&it->address, address)) {
            return it;
        }
    }
    return NULL;
}

int inherited_take(int type, int family, const struct address *address)
{
    struct inherited *it = find(type, family, address);
    int fd = it != NULL ? it->fd : -1;
    if (it != NULL) {
        it->fd = -1;
    }
    return fd;
}

bool inherited_has(int type, int family, const struct address *address)
{
    return find(type, family, address) != NULL;
}

void inherited_keep(void)
{
    keeps = true;
}

bool inherited_park(int fd)
{
    int twin = keeps ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (twin >= 0) {
        inherited_add(twin);
    }
    return twin >= 0;
}

unsigned inherited_drop(void)
{
    unsigned dropped = 0;
    keeps = false;
    for (size_t i = 0; i < count; i++) {
        if (all[i].fd >= 0) {
            close(all[i].fd);
            dropped++;
        }
    }
    free(all);
    all = NULL;
    count = 0;
    return dropped;
}

size_t inherited_mine(int *out, size_t most)
{
    DIR *folder = opendir("/proc/self/fd");
    size_t found = 0;
    if (folder == NULL) {
        return 0;
    }
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL && found < most;) {
        struct inherited one;
        int fd = atoi(entry->d_name);
        if (entry->d_name[0] != '.' && fd != dirfd(folder) && describe(fd, &one)) {
            out[found++] = fd;
        }
    }
    closedir(folder);
    return found;
}
