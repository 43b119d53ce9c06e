-- SPDX-License-Identifier: MIT
-- Put if it holds what the caller thinks. memory/lookup.c does the same for the memory backend.
--
-- KEYS[1]  the key; values begin with the wire form (store/wire.h): "1 value"
-- ARGV     what it must hold, what to put, lifetime in ms or 0 to keep the one it has
-- answer   "=" done, "-" there is no such key, "+" and what it holds instead
local now = redis.call('GET', KEYS[1])
if not now then
    return '-'
end
if string.sub(now, 1, 2) ~= '1 ' then
    return redis.error_reply('WIRE ' .. KEYS[1] .. ' is of another form, this node reads 1')
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
