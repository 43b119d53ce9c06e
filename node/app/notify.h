/* SPDX-License-Identifier: MIT */
/* notify: tells the service manager that started this process (systemd, `Type=notify`) when it serves
 * and how long it takes to leave. The protocol is one datagram of lines NAME=value to the socket that
 * NOTIFY_SOCKET names: sd_notify(3). Without that variable nothing is sent.
 *
 * These lines stand here instead of libsystemd: they are the whole of what Muster needs of it. */
#ifndef MUSTER_NODE_APP_NOTIFY_H
#define MUSTER_NODE_APP_NOTIFY_H

#include <stdint.h>

/* The process serves. `status` is shown by `systemctl status`; borrowed, one line. */
void notify_ready(const char *status);

/* This process is the one to watch and to stop from now on, in the place of another. */
void notify_main(void);

/* The process leaves, and needs at most `most_ms` for it: the manager waits that long before its own
 * limit (TimeoutStopSec) begins to count. */
void notify_stopping(uint64_t most_ms);

#endif
