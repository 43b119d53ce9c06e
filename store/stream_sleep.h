/* SPDX-License-Identifier: MIT */
/* stream sleep: on one server all parts of the stream but the first are left from a time with more
 * servers, or, nearly always, not there at all. So the server is asked for all of them at once, in the
 * write of a beat, and only while somebody wants to know; who reads a part asks for that part alone
 * once it is there.
 *
 *     who reads: does it sleep? --wanted--> next pulse, 4 s after the last question --> which are there? */
#ifndef MUSTER_STORE_STREAM_SLEEP_H
#define MUSTER_STORE_STREAM_SLEEP_H

#include <stdbool.h>

struct store;

/* Did nobody write to that part, as far as was known within the last seconds? Then there is nothing to be
 * asked of it. */
bool stream_part_sleeps(struct store *store, unsigned part);

/* As store_on_pulse. */
void stream_sleep_pulse(struct store *store);

#endif
