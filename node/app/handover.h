/* SPDX-License-Identifier: MIT */
/* handover: another process takes the place of this one, and no port is closed in between.
 *
 *     this one: SIGUSR2 --> starts the program again, with its listening sockets --> goes on serving
 *     the new one: takes the sockets, finds its store, serves --> SIGTERM to this one
 *     this one: accepts nothing any more, and leaves as at any SIGTERM
 *
 * A service manager may give sockets, too (sd_listen_fds(3)): these outlive all processes. */
#ifndef MUSTER_NODE_APP_HANDOVER_H
#define MUSTER_NODE_APP_HANDOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { HANDOVER_SOCKETS_MOST = 65536 };

/* A socket, and whose it is: the number of a worker; 0 without workers. */
struct handover_socket {
    int group, fd;
};

/* First of all in a process: notes what the environment says that it was given, and takes it out of
 * there. `argv` is borrowed for the life of the process. */
void handover_begin(char *const argv[]);

/* Does this process take another one's place? */
bool handover_has_predecessor(void);

/* The sockets of `group` are this process's (net/inherited.h); the others are closed. */
void handover_choose(int group);

/* Closes all that were given: the workers have theirs. */
void handover_forget(void);

/* This process serves: the predecessor is told to leave, the service manager that this one is in charge. Once;
 * nothing without a predecessor. */
void handover_complete(void);

/* Starts the successor with these sockets. What came of it is logged. */
void handover_start(const struct handover_socket *sockets, size_t count);

/* Is there a successor that was started and has not ended? That it ended is logged, once. */
bool handover_succeeded(void);

/* This process is a worker, and `fd` its way to the parent. */
void handover_worker(int fd);

/* In a worker: has its parent said that a successor serves? */
bool handover_is_told(void);

/* Tells the worker at the other end of `fd` that. */
void handover_tell(int fd);

/* Sends this worker's own sockets to its parent. */
void handover_send(void);

/* Appends what the worker of that group sends over `fd`, within `ms`, to *sockets (reallocated). 0, or -1
 * when it did not send all. */
int handover_receive(int fd, int group, int ms, struct handover_socket **sockets, size_t *count);

#endif
