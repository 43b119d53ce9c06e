/* SPDX-License-Identifier: MIT */
/* logs syslog_message: one message of syslog, as RFC 5424 or the older RFC 3164 has it, becomes the
 * JSON object of a log entry:
 *
 *     <165>1 2023-11-14T22:13:20.123Z host app 7 ID [a@1 k="v"] it broke
 *     {"level":5,"facility":"local4","timestamp":"2023-11-14T22:13:20.123Z","host":"host","app":"app",
 *      "procid":"7","msgid":"ID","a@1.k":"v","msg":"it broke"}
 *
 * The level is syslog's number: words.h says what it means here. */
#ifndef MUSTER_NODE_SERVICE_LOGS_SYSLOG_MESSAGE_H
#define MUSTER_NODE_SERVICE_LOGS_SYSLOG_MESSAGE_H

#include "store/base/buf.h"
#include "store/base/span.h"

#include <time.h>

/* Appends the object to `out`; it is valid JSON whatever `message` is. What does not have a part's
 * form is text of the message, from there on (RFC 5424, 6 and RFC 3164, 4.3: nothing is refused).
 * A time without year and zone (RFC 3164) is one of this machine's zone, in the year that brings it
 * nearest to `now`. */
void logs_syslog_print(struct span message, time_t now, struct buf *out);

#endif
