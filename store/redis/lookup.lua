-- SPDX-License-Identifier: MIT
-- Put if it holds what the caller thinks. memory/lookup.c does the same for the memory backend.
--
-- KEYS[1]  the key
-- ARGV     what it must hold, what to put, lifetime in ms or 0 to keep the one it has
-- answer   "=" done, "-" there is no such key, "+" and what it holds instead
local now = redis.call('GET', KEYS[1])
if not now then
    return '-'
end
if now ~= ARGV[1] then
    return '+' .. now
end
if ARGV[3] == '0' then
    redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
else
    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return '='
