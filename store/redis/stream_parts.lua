-- SPDX-License-Identifier: MIT
-- Which parts of the stream are there: asked of a server that has them all, and is no cluster.
--
-- KEYS     the hash of each part, as in stream_append.lua
-- answer   a digit for each: 1 when somebody has written there
local there = {}
for i, key in ipairs(KEYS) do
    there[i] = redis.call('HLEN', key) > 0 and '1' or '0'
end
return table.concat(there)
