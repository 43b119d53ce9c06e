/* SPDX-License-Identifier: MIT */
/* The Lua scripts in store/, embedded at build time (cmake/embed_scripts.cmake), each with the SHA-1 by
 * which servers know it. */
#ifndef MUSTER_STORE_REDIS_SCRIPTS_H
#define MUSTER_STORE_REDIS_SCRIPTS_H

extern const char lua_lookup[];
extern const char lua_lookup_sha[];
extern const char lua_history[];
extern const char lua_history_sha[];
extern const char lua_roll[];
extern const char lua_roll_sha[];
extern const char lua_roster[];
extern const char lua_roster_sha[];
extern const char lua_roster_beat[];
extern const char lua_roster_beat_sha[];

extern const char lua_stream_append[];
extern const char lua_stream_append_sha[];
extern const char lua_stream_state[];
extern const char lua_stream_state_sha[];

#endif
