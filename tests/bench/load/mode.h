/* SPDX-License-Identifier: MIT */
/* mode: one kind of load, a file each. It opens its clients, does its work, and prints one line of
 * JSON with what it measured. */
#ifndef MUSTER_BENCH_LOAD_MODE_H
#define MUSTER_BENCH_LOAD_MODE_H

#include "tests/bench/load/loop.h"
#include "tests/bench/load/options.h"

typedef void mode_fn(struct loop *loop, const struct options *options);

mode_fn mode_idle;   /* connections that only stay */
mode_fn mode_hold;   /* connections that join a session or log in, and stay */
mode_fn mode_fanout; /* one sender, many receivers, a window of pushes in flight */
mode_fn mode_crowd; /* groups on any server whose dialect it speaks, told what to do line by line */
mode_fn mode_pushes;  /* many sessions on several nodes, and a bare pair on their Redis */
mode_fn mode_relay;   /* game servers of the cross-server chat, which talk in turn to all others */
mode_fn mode_tracker; /* UDP peers of a tracker, or of an echo */
mode_fn mode_stream;  /* bytes from a device of dispatch to its driver */
mode_fn mode_devices; /* a driver and devices that only stay */
mode_fn mode_chat;    /* one writer, many readers of the chat, on several nodes */
mode_fn mode_logins;  /* a few sockets that log in to the chat again and again */

/* Ends the program unless at least one --node was given. */
void mode_needs_node(const struct options *options);

#endif
