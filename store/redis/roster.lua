-- SPDX-License-Identifier: MIT
-- One visit to a roster key: release and set members, publish the changes.
-- memory/roster.c does the same for the memory backend.
--
-- KEYS[1]  hash: 'i' -> "1 birth version" and what later versions add (1: the wire form, store/wire.h),
--          'm' .. name -> "token value"
-- ARGV     command to publish with, channel, key lifetime (ms), 'r' to begin it again or '', 's' for a snapshot or '',
--          token of the caller's lease, then for each member "+" name value: set it, or
--          "-" name token: take it away if it is that lease's
-- answer   a roster note (store/roster/note.h)
--
-- A token names a lease (roster_beat.lua): a member lives while that lease does. A birth is a time
-- of this server's clock, in microseconds, below 2^53.
local WIRE = '1'
local key, channel, token = KEYS[1], ARGV[2], ARGV[6]

local birth, version, more = nil, 0, ''
local info = redis.call('HGET', key, 'i')
if info then
    local form, b, v, rest = string.match(info, '^(%d+) (%d+) (%d+)(.*)$')
    if form ~= WIRE then
        return redis.error_reply('WIRE ' .. key .. ' is of form ' .. (form or '0') .. ', this node reads ' .. WIRE)
    end
    birth, version, more = b, tonumber(v), rest
else
    local time = redis.call('TIME')
    birth = string.format('%.0f', tonumber(time[1]) * 1000000 + tonumber(time[2]))
end

local changes, parts, gone = 0, {}, false
local function say(sign, name, value, by)
    changes = changes + 1
    parts[changes] = sign .. #name .. ' ' .. #value .. ' ' .. by .. '\n' .. name .. value
end

for i = 7, #ARGV, 3 do
    local name, value = ARGV[i + 1], ARGV[i + 2]
    local had = redis.call('HGET', key, 'm' .. name)
    if ARGV[i] == '+' then
        local now = token .. ' ' .. value
        if had ~= now then
            redis.call('HSET', key, 'm' .. name, now)
            say('+', name, value, token)
        end
    elseif had and string.sub(had, 1, #value + 1) == value .. ' ' then
        redis.call('HDEL', key, 'm' .. name)
        gone = true
        say('-', name, '', value)
    end
end

if changes > 0 then
    version = version + 1
    redis.call(ARGV[1], channel, WIRE .. ' ' .. birth .. ' ' .. (version - 1) .. ' ' .. version .. ' ' .. changes ..
        '\n' .. table.concat(parts))
    if gone and redis.call('HLEN', key) <= 1 then
        redis.call('DEL', key)
    else
        redis.call('HSET', key, 'i', WIRE .. ' ' .. birth .. ' ' .. version .. more)
    end
end
if (changes > 0 and not info) or (info and ARGV[4] == 'r') then
    redis.call('PEXPIRE', key, ARGV[3])
end

local head = WIRE .. ' ' .. (version > 0 and birth or '0') .. ' 0 ' .. version .. ' '
if ARGV[5] ~= 's' then
    return head .. '-1\n'
end
changes, parts = 0, {}
local all = version > 0 and redis.call('HGETALL', key) or {}
for i = 1, #all, 2 do
    if string.sub(all[i], 1, 1) == 'm' then
        local space = string.find(all[i + 1], ' ', 1, true)
        say('+', string.sub(all[i], 2), string.sub(all[i + 1], space + 1), string.sub(all[i + 1], 1, space - 1))
    end
end
return head .. changes .. '\n' .. table.concat(parts)
