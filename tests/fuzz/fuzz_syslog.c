/* SPDX-License-Identifier: MIT */
/* Syslog: whatever a message is, what it becomes is one JSON object that a batch takes. */
#include "node/proto/json/walk.h"
#include "node/service/logs/syslog_message.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf entry = {0};
    size_t at;
    logs_syslog_print(span_of(data, size), 1700000000, &entry);
    if (!json_valid(buf_span(&entry), &at) || entry.ptr[0] != '{') {
        fprintf(stderr, "broken: from byte %zu on\n", at);
        abort();
    }
    buf_free(&entry);
    return 0;
}
