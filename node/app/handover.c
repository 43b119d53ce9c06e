/* SPDX-License-Identifier: MIT */
#include "node/app/handover.h"

#include "node/app/notify.h"
#include "node/core/log.h"
#include "node/net/inherited.h"
#include "store/base/buf.h"
#include "store/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    FDS_AT_ONCE = 200, /* of one message; the kernel takes 253 */
    FIRST_OF_MANAGER = 3,
};

static const char variable[] = "MUSTER_SOCKETS"; /* PID GROUP=FD GROUP=FD ... */

static struct {
    char *const *argv;
    pid_t predecessor; /* 0: none */
    struct handover_socket *given;
    size_t count;
    pid_t successor; /* 0: none */
    int parent;      /* of a worker: the way to it; 0: no worker */
} handover;          /* of the process, as its environment is */

/* ------------------------------------------------------------------------------ what was given */

static void give(int group, int fd)
{
    handover.given = mem_realloc(handover.given, (handover.count + 1) * sizeof(*handover.given));
    handover.given[handover.count++] = (struct handover_socket){group, fd};
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static void read_predecessor(const char *text)
{
    char *end;
    handover.predecessor = (pid_t)strtol(text, &end, 10);
    while (*end == ' ' && handover.count < HANDOVER_SOCKETS_MOST) {
        int group = (int)strtol(end + 1, &end, 10);
        if (*end == '=') {
            give(group, (int)strtol(end + 1, &end, 10));
        }
    }
}

static void read_manager(const char *pid, const char *count)
{
    int sockets = atoi(count);
    for (int i = 0; atoi(pid) == (int)getpid() && i < sockets; i++) {
        give(0, FIRST_OF_MANAGER + i);
    }
}

void handover_begin(char *const argv[])
{
    const char *own = getenv(variable), *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    handover.argv = argv;
    if (own != NULL) {
        read_predecessor(own);
    } else if (pid != NULL && count != NULL) {
        read_manager(pid, count);
    }
    unsetenv(variable);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
}

bool handover_has_predecessor(void)
{
    return handover.predecessor != 0;
}

void handover_choose(int group)
{
    for (size_t i = 0; i < handover.count; i++) {
        if (handover.given[i].group == group) {
            inherited_add(handover.given[i].fd);
        } else {
            close(handover.given[i].fd);
        }
    }
    free(handover.given);
    handover.given = NULL;
    handover.count = 0;
}

void handover_forget(void)
{
    handover_choose(-1);
}

void handover_complete(void)
{
    pid_t predecessor = handover.predecessor;
    handover.predecessor = 0;
    if (predecessor != 0) {
        notify_main();
    }
    if (predecessor != 0 && getppid() == predecessor) {
        kill(predecessor, SIGTERM);
    }
}

/* ------------------------------------------------------------------------------ the successor */

extern char **environ;

/* A copy of the environment with one variable more, for exec; the strings are borrowed. */
static char **environment_with(char *more)
{
    size_t count = 0;
    while (environ[count] != NULL) {
        count++;
    }
    char **copy = mem_alloc((count + 2) * sizeof(char *));
    memcpy(copy, environ, count * sizeof(char *));
    copy[count] = more;
    copy[count + 1] = NULL;
    return copy;
}

static void run_program(const struct handover_socket *sockets, size_t count, char **environment)
{
    sigset_t none;
    for (size_t i = 0; i < count; i++) {
        fcntl(sockets[i].fd, F_SETFD, 0);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execvpe(handover.argv[0], handover.argv, environment);
    _exit(127);
}

static void note_start(pid_t pid, size_t sockets)
{
    if (pid > 0) {
        handover.successor = pid;
        log_info("successor started", LOG_NUMBER_FIELD("pid", pid),
                 LOG_NUMBER_FIELD("sockets", (int64_t)sockets));
    } else {
        log_error("no successor can be started", LOG_TEXT_FIELD("error", strerror(errno)));
    }
}

void handover_start(const struct handover_socket *sockets, size_t count)
{
    struct buf text = {0};
    buf_printf(&text, "%s=%d", variable, (int)getpid());
    for (size_t i = 0; i < count; i++) {
        buf_printf(&text, " %d=%d", sockets[i].group, sockets[i].fd);
    }
    char *more = mem_dup(buf_span(&text));
    char **environment = environment_with(more);
    pid_t pid = fork();
    if (pid == 0) {
        run_program(sockets, count, environment);
    }
    note_start(pid, count);
    free(environment);
    free(more);
    buf_free(&text);
}

bool handover_succeeded(void)
{
    int status;
    pid_t pid = handover.successor;
    if (pid != 0 && waitpid(pid, &status, WNOHANG) == pid) {
        handover.successor = 0;
        log_error("the successor ended; this process goes on", LOG_NUMBER_FIELD("pid", pid),
                  LOG_NUMBER_FIELD("exit", WIFEXITED(status) ? WEXITSTATUS(status) : -1));
    }
    return handover.successor != 0;
}

/* ------------------------------------------------------------------------------ between processes */

static int send_some(int to, const int *fds, size_t count)
{
    union {
        char room[CMSG_SPACE(FDS_AT_ONCE * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    char byte = count > 0 ? 's' : 'e';
    struct iovec iov = {&byte, 1};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    if (count > 0) {
        message.msg_control = control.room;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *head = &control.align; /* the first in the room */
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(head), fds, count * sizeof(int));
    }
    return sendmsg(to, &message, MSG_NOSIGNAL) == 1 ? 0 : -1;
}

void handover_worker(int fd)
{
    handover.parent = fd;
}

bool handover_is_told(void)
{
    char byte = 0;
    return handover.parent > 0 && recv(handover.parent, &byte, 1, MSG_DONTWAIT) == 1 && byte == 'h';
}

void handover_tell(int fd)
{
    if (send(fd, "h", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        log_warn("a worker does not hear of its successor",
                 LOG_TEXT_FIELD("error", strerror(errno)));
    }
}

void handover_send(void)
{
    int fd = handover.parent;
    int *mine = mem_alloc(HANDOVER_SOCKETS_MOST * sizeof(*mine));
    size_t count = inherited_mine(mine, HANDOVER_SOCKETS_MOST);
    int result = 0;
    for (size_t at = 0; at < count && result == 0; at += FDS_AT_ONCE) {
        size_t left = count - at;
        result = send_some(fd, mine + at, left < FDS_AT_ONCE ? left : FDS_AT_ONCE);
    }
    free(mine);
    if (result != 0 || send_some(fd, NULL, 0) != 0) {
        log_error("sockets cannot be handed over", LOG_TEXT_FIELD("error", strerror(errno)));
    }
}

static void keep_all(const struct cmsghdr *head, int group, struct handover_socket **sockets,
                     size_t *count)
{
    size_t fds = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    *sockets = mem_realloc(*sockets, (*count + fds) * sizeof(**sockets));
    for (size_t i = 0; i < fds; i++) {
        int fd;
        memcpy(&fd, CMSG_DATA(head) + i * sizeof(int), sizeof(fd));
        (*sockets)[(*count)++] = (struct handover_socket){group, fd};
    }
}

int handover_receive(int fd, int group, int ms, struct handover_socket **sockets, size_t *count)
{
    char byte = 's';
    while (byte != 'e') {
        union {
            char room[CMSG_SPACE(FDS_AT_ONCE * sizeof(int))];
            struct cmsghdr align;
        } control;
        struct pollfd look = {.fd = fd, .events = POLLIN};
        struct iovec iov = {&byte, 1};
        struct msghdr message = {.msg_iov = &iov,
                                 .msg_iovlen = 1,
                                 .msg_control = control.room,
                                 .msg_controllen = sizeof(control.room)};
        if (poll(&look, 1, ms) != 1 || recvmsg(fd, &message, MSG_CMSG_CLOEXEC) != 1) {
            return -1;
        }
        const struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        if (head != NULL && head->cmsg_type == SCM_RIGHTS) {
            keep_all(head, group, sockets, count);
        }
    }
    return 0;
}
