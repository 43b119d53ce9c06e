/* SPDX-License-Identifier: MIT */
/* What the floors of a TCP fan-out share: one thread, epoll, no limits. */
#ifndef MUSTER_TESTS_BENCH_FLOOR_SERVE_H
#define MUSTER_TESTS_BENCH_FLOOR_SERVE_H

/* Says so, with errno, and ends the program. */
void die(const char *what) __attribute__((noreturn));

struct floor_handler {
    /* A connection that does not block; what is returned is given to readable(). */
    void *(*accepted)(int fd);
    void (*readable)(void *peer);
};

/* The main of a floor: serves at the address in argv, for ever; `ready` on stdout says when. */
int floor_main(int argc, char **argv, const struct floor_handler *handler);

#endif
