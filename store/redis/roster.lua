-- SPDX-License-Identifier: MIT
-- One visit to a roster key: bridge an outage, release and set members, prune, publish the changes.
-- memory/roster.c does the same for the memory backend.
--
-- KEYS[1]  hash: 'i' -> "1 birth version touched shift soonest" and what later versions add (1: the wire form,
--          store/wire.h), 'm' .. name -> "expiry value"
-- ARGV     channel, birth the caller knows, ttl, renewal interval, key lifetime (ms), 's' for a
--          snapshot or '', then "+" name value | "-" name "" for each member to set or release
-- answer   a roster note (store/roster/note.h)
--
-- All times are microseconds of this server's clock, all below 2^53. `shift` is added to every
-- expiry; `soonest` is at most the first of them, so that a visit rarely has to look at all.
local WIRE = '1'
local key, channel = KEYS[1], ARGV[1]
local ttl, renew = tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

local function whole(number)
    return string.format('%.0f', number)
end

local birth, version, touched, shift, soonest = whole(now), 0, now, 0, now + ttl
local info = redis.call('HGET', key, 'i')
local more = ''
if info then
    local form, b, v, t, sh, so, rest = string.match(info, '^(%d+) (%d+) (%d+) (%d+) (%-?%d+) (%-?%d+)(.*)$')
    if form ~= WIRE then
        return redis.error_reply('WIRE ' .. key .. ' is of form ' .. (form or '0') .. ', this node reads ' .. WIRE)
    end
    more = rest
    birth, version, touched, shift, soonest = b, tonumber(v), tonumber(t), tonumber(sh), tonumber(so)
end

-- When the caller was there and no node touched the key for longer than a renewal takes, no node
-- could: the server was paused, unreachable or loaded from disk. Time stood still then, for a long
-- outage with some room to come back. A clock that went backwards is followed.
local gap = now - touched
if gap < 0 then
    shift = shift + gap
elseif birth == ARGV[2] and gap > 1.5 * renew then
    shift = shift + gap + math.floor(renew / 2)
elseif birth == ARGV[2] and gap > renew then
    shift = shift + gap - renew
end

local changes, parts = 0, {}
local function changed(sign, name, value)
    changes = changes + 1
    parts[#parts + 1] = sign .. #name .. ' ' .. #value .. '\n'
    parts[#parts + 1] = name
    parts[#parts + 1] = value
end

local function split(field)
    local space = string.find(field, ' ', 1, true)
    return tonumber(string.sub(field, 1, space - 1)), string.sub(field, space + 1)
end

local expiry = now - shift + ttl
for i = 7, #ARGV, 3 do
    local name, value = ARGV[i + 1], ARGV[i + 2]
    if ARGV[i] == '-' then
        if redis.call('HDEL', key, 'm' .. name) == 1 then
            changed('-', name, '')
        end
    else
        local before = redis.call('HGET', key, 'm' .. name)
        if before then
            local _, had = split(before)
            before = had
        end
        if before ~= value then
            changed('+', name, value)
        end
        redis.call('HSET', key, 'm' .. name, whole(expiry) .. ' ' .. value)
        soonest = math.min(soonest, expiry)
    end
end

-- Last, so that what is renewed just now does not go.
if info and now - shift >= soonest then
    local all = redis.call('HGETALL', key)
    soonest = now - shift + ttl
    for i = 1, #all, 2 do
        if string.sub(all[i], 1, 1) == 'm' then
            local ends = split(all[i + 1])
            if ends <= now - shift then
                redis.call('HDEL', key, all[i])
                changed('-', string.sub(all[i], 2), '')
            elseif ends < soonest then
                soonest = ends
            end
        end
    end
end

if changes > 0 then
    version = version + 1
    redis.call('PUBLISH', channel, WIRE .. ' ' .. birth .. ' ' .. whole(version - 1) .. ' ' .. whole(version) ..
        ' ' .. changes .. '\n' .. table.concat(parts))
end

local left = redis.call('HLEN', key) - (info and 1 or 0)
if left == 0 then
    redis.call('DEL', key)
else
    redis.call('HSET', key, 'i', WIRE .. ' ' .. birth .. ' ' .. whole(version) .. ' ' .. whole(now) .. ' ' ..
        whole(shift) .. ' ' .. whole(soonest) .. more)
    redis.call('PEXPIRE', key, ARGV[5])
end

local head = WIRE .. ' ' .. (version > 0 and birth or '0') .. ' 0 ' .. whole(version) .. ' '
if ARGV[6] ~= 's' then
    return head .. '-1\n'
end
parts = {}
if left > 0 then
    local all = redis.call('HGETALL', key)
    for i = 1, #all, 2 do
        if string.sub(all[i], 1, 1) == 'm' then
            local _, value = split(all[i + 1])
            changed('+', string.sub(all[i], 2), value)
        end
    end
end
return head .. left .. '\n' .. table.concat(parts)
