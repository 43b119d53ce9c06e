/* SPDX-License-Identifier: MIT */
#include "node/service/fleet/hour.h"

#include <inttypes.h>

void fleet_hour_look(struct fleet_hour *hour, const struct metrics *metrics, uint64_t now_ms)
{
    uint64_t received = metrics->value[METRIC_WS_MESSAGES_IN];
    if (hour->point_ms == 0) {
        hour->point_ms = now_ms;
        hour->received = received;
    }
    uint64_t passed = now_ms - hour->point_ms;
    if (passed < FLEET_HOUR_MS) {
        return;
    }
    hour->messages[hour->next] = (uint32_t)((received - hour->received) * 10000 / passed);
    hour->connections[hour->next] = (uint32_t)metrics->value[METRIC_CONNS];
    hour->memory[hour->next] = (uint32_t)(metrics->value[METRIC_RSS] / 1024);
    hour->next = (hour->next + 1) % FLEET_HOUR_POINTS;
    hour->count += hour->count < FLEET_HOUR_POINTS;
    hour->point_ms = now_ms;
    hour->received = received;
}

static void print_points(const struct fleet_hour *hour, const uint32_t *points, const char *name,
                         struct buf *out, bool tenths, uint64_t unit)
{
    buf_printf(out, ",\"%s\":[", name);
    for (size_t i = 0; i < hour->count; i++) {
        size_t at = (hour->next + FLEET_HOUR_POINTS - hour->count + i) % FLEET_HOUR_POINTS;
        uint64_t value = points[at] * unit;
        buf_printf(out, "%s%" PRIu64, i > 0 ? "," : "", tenths ? value / 10 : value);
        if (tenths && value % 10 != 0) {
            buf_printf(out, ".%" PRIu64, value % 10);
        }
    }
    buf_append(out, SPAN("]"));
}

void fleet_hour_print(const struct fleet_hour *hour, struct buf *out)
{
    buf_printf(out, "{\"every\":%d", FLEET_HOUR_MS / 1000);
    print_points(hour, hour->messages, "messages", out, true, 1);
    print_points(hour, hour->connections, "connections", out, false, 1);
    print_points(hour, hour->memory, "memory", out, false, 1024);
    buf_append(out, SPAN("}"));
}
