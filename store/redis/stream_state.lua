-- SPDX-License-Identifier: MIT
-- What a sink has stored may go; how the stream is.
--
-- KEYS[1]  as in stream_append.lua
-- ARGV     keep (entries of each lane that stay), sink (seconds for which the sink counts as there;
--          0: it is not a sink that asks), then lane, seq, ordinal for each mark
-- answer   "last lanes entries" and the unstored entries of each lane, separated by spaces
local meta = KEYS[1]
local head = redis.call('HMGET', meta, 'last', 'birth', 'lanes')
local last, birth, lanes = head[1] or '0', tonumber(head[2] or 0), tonumber(head[3] or 0)

-- What goes, goes first: a server that is full lets a script write once it has made room. A mark
-- from before the stream began anew (a server that lost its data) says nothing about it.
local fields = {}
for i = 3, #ARGV, 3 do
    local lane, seq, ordinal = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
    if head[2] and seq >= birth then
        local before = tonumber(redis.call('HGET', meta, 's' .. lane) or 0)
        if ordinal > before then
            fields[#fields + 1] = 's' .. lane
            fields[#fields + 1] = ARGV[i + 2]
        end
        local over = redis.call('XLEN', meta .. ':' .. lane) - tonumber(ARGV[1])
        if over > 0 then
            redis.call('XTRIM', meta .. ':' .. lane, 'MINID', '~',
                string.format('%.0f', seq + 1), 'LIMIT', over)
        end
    end
end
if tonumber(ARGV[2]) > 0 then
    fields[#fields + 1] = 'sink'
    fields[#fields + 1] = tonumber(redis.call('TIME')[1]) + tonumber(ARGV[2])
end
if #fields > 0 then
    redis.call('HSET', meta, unpack(fields))
end

local entries, unstored = 0, {}
for lane = 0, lanes - 1 do
    local count = redis.call('HMGET', meta, 'a' .. lane, 's' .. lane)
    local length = redis.call('XLEN', meta .. ':' .. lane)
    entries = entries + length
    unstored[#unstored + 1] = math.max(0, math.min(length, tonumber(count[1] or 0) -
        tonumber(count[2] or 0)))
end
return last .. ' ' .. lanes .. ' ' .. entries .. ' ' .. table.concat(unstored, ' ')
