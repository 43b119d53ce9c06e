/* SPDX-License-Identifier: MIT */
/* The Lua scripts in store/, embedded at build time (cmake/embed_scripts.cmake), each with the SHA-1 by
 * which servers know it. */
#ifndef MUSTER_STORE_REDIS_SCRIPTS_H
#define MUSTER_STORE_REDIS_SCRIPTS_H

struct redis_lua {
    const char *text, *sha;
    const char *fenced, *fenced_sha; /* the same behind fence.lua; NULL: it touches no partition */
};

extern const struct redis_lua lua_lookup;
extern const struct redis_lua lua_history;
extern const struct redis_lua lua_guarded;
extern const struct redis_lua lua_moves;
extern const struct redis_lua lua_roll;
extern const struct redis_lua lua_roster;
extern const struct redis_lua lua_roster_beat;
extern const struct redis_lua lua_stream_append;
extern const struct redis_lua lua_stream_parts;
extern const struct redis_lua lua_stream_parts;
extern const struct redis_lua lua_stream_state;

#endif
