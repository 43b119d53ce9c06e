/* SPDX-License-Identifier: MIT */
#include "tests/bench/load/sync.h"

void sync_join(struct client *client, const char *session, bool leader)
{
    static struct buf text;
    text.len = 0;
    buf_printf(&text, "{\"type\":\"SetSession\",\"sessionId\":\"%s\",\"isLeader\":%s}", session,
               leader ? "true" : "false");
    client_send(client, buf_span(&text));
}

/* What stands behind "name": in `text`, empty when it is not there. */
static struct span value_of(struct span text, struct span name)
{
    const char *at = text.len > 0 ? memmem(text.ptr, text.len, name.ptr, name.len) : NULL;
    if (at == NULL) {
        return span_of(NULL, 0);
    }
    struct span rest = span_skip(text, (size_t)(at - text.ptr) + name.len);
    while (rest.len > 0 && (rest.ptr[0] == ' ' || rest.ptr[0] == ':')) {
        rest = span_skip(rest, 1);
    }
    return rest;
}

bool sync_state(struct span text, struct session_state *state)
{
    if (!span_starts_with(value_of(text, SPAN("\"type\"")), SPAN("\"SessionState\""))) {
        return false;
    }
    struct span players = value_of(text, SPAN("\"playersCount\""));
    state->players = 0;
    for (; players.len > 0 && *players.ptr >= '0' && *players.ptr <= '9';
         players = span_skip(players, 1)) {
        state->players = state->players * 10 + (uint32_t)(*players.ptr - '0');
    }
    state->leader = span_starts_with(value_of(text, SPAN("\"leaderConnected\"")), SPAN("true"));
    return true;
}
