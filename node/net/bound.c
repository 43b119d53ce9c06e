/* SPDX-License-Identifier: MIT */
#include "node/net/bound.h"

#include "node/net/address.h"
#include "node/net/inherited.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void set_options(int fd, int family, int type, bool shared)
{
    int on = 1, off = 0;
    if (type == SOCK_STREAM) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    }
    if (shared) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    }
    if (family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    }
}

int bound_open(const char *bind_to, int type, bool shared, int *family)
{
    struct address address;
    struct sockaddr_storage addr;
    if (address_parse_bind(bind_to, &address, family) != 0) {
        errno = 0;
        return -1;
    }
    int given = inherited_take(type, *family, &address);
    if (given >= 0) {
        return given;
    }
    int fd = socket(*family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    set_options(fd, *family, type, shared);
    socklen_t len = address_sockaddr(&address, *family, &addr);
    if (bind(fd, (struct sockaddr *)&addr, len) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

bool bound_is_given(const char *bind_to, int type)
{
    struct address address;
    int family;
    return address_parse_bind(bind_to, &address, &family) == 0 &&
           inherited_has(type, family, &address);
}

void bound_error(const char *what, const char *bind, char *error, size_t error_size)
{
    if (errno == 0) {
        snprintf(error, error_size, "'%s' is no host:port whose host is known here", bind);
    } else {
        snprintf(error, error_size, "%s %s: %s", what, bind, strerror(errno));
    }
}
