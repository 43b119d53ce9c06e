-- SPDX-License-Identifier: MIT
-- A node's beat: renew its lease, tell which leases live, end those that ran out.
-- memory/roster.c does the same for the memory backend.
--
-- KEYS[1]  hash: 'i' -> "1 birth version last touched soonest timeline" and what later versions add (1: the
--          wire form, store/wire.h), 'n' .. node -> "token ends", and for a lease before that one, which
--          nobody renews, 'n' .. node .. ' ' .. token -> the same
-- ARGV     node, token of its lease or 0, birth and version that it knows, floor, ttl, beat (us),
--          key lifetime (ms), timeline of its link or '-'
-- answer   "<W> <birth> <version> <last> <token> <listed>\n", then when listed is 1, because what the
--          caller knows is old, a line for each token that lives
--
-- Tokens are given out here, one for each lease, and grow: none is given twice, none below `floor`,
-- the greatest that the caller ever saw. So a token up to `last` that is not listed is over for good.
-- `version` counts the changes of that list. All times are microseconds of this server's clock, all
-- numbers below 2^53. `soonest` is at most the first of the ends.
local WIRE = '1'
local key, node, token = KEYS[1], ARGV[1], ARGV[2]
local floor, ttl, beat = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

local function whole(number)
    return string.format('%.0f', number)
end

local birth, version, last, touched, soonest, timeline = whole(now), 0, 0, now, now + ttl, '-'
local info = redis.call('HGET', key, 'i')
local more = ''
if info then
    local form, b, v, l, t, s, line, rest = string.match(info, '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%S*)(.*)$')
    if form ~= WIRE then
        return redis.error_reply('WIRE ' .. key .. ' is of form ' .. (form or '0') .. ', this node reads ' .. WIRE)
    end
    more = rest
    birth, version, last, touched, soonest, timeline = b, tonumber(v), tonumber(l), tonumber(t), tonumber(s), line ~= '' and line or '-'
end

-- When the caller was there and no node came for longer than a beat takes, no node could: the server
-- was paused, unreachable or loaded from disk. So all leases begin again; also on another timeline, or
-- when the clock went backwards: the ends are another server's then. Who is new here is no witness.
local witness = info and birth == ARGV[3]
local gap = now - touched
local forked = timeline ~= '-' and ARGV[9] ~= '-' and timeline ~= ARGV[9]
local stood = forked or gap < 0 or (witness and gap > 1.5 * beat)

last = math.max(last, floor)
-- Who names another token has not heard of this one yet, or says so over a link that was given up
-- since; who names none begins.
local mine = redis.call('HGET', key, 'n' .. node)
if mine and token ~= '0' then
    token = string.match(mine, '^%d+')
else
    if mine then -- what it claimed lives on until its claims name the new token
        local before = string.match(mine, '^%d+')
        redis.call('HSET', key, 'n' .. node .. ' ' .. before, before .. ' ' .. whole(now + ttl))
    end
    last = math.max(last + 1, now)
    token = whole(last)
    version = version + 1
end
redis.call('HSET', key, 'n' .. node, token .. ' ' .. whole(now + ttl))

local all = {}
if stood or (witness and now >= soonest) then
    local over = false
    all = redis.call('HGETALL', key)
    soonest = now + ttl
    for i = 1, #all, 2 do
        local owner, ends = string.match(all[i + 1], '^(%d+) (%d+)')
        if string.sub(all[i], 1, 1) ~= 'n' then
            ends = nil
        elseif stood then
            redis.call('HSET', key, all[i], owner .. ' ' .. whole(now + ttl))
        elseif tonumber(ends) <= now then
            redis.call('HDEL', key, all[i])
            over = true
        else
            soonest = math.min(soonest, tonumber(ends))
        end
    end
    version = version + (over and 1 or 0)
end

if witness or stood or gap <= 1.5 * beat then
    touched = now
end
redis.call('HSET', key, 'i', WIRE .. ' ' .. birth .. ' ' .. version .. ' ' .. whole(last) .. ' ' .. whole(touched) .. ' ' ..
    whole(soonest) .. ' ' .. (ARGV[9] ~= '-' and ARGV[9] or timeline) .. more)
redis.call('PEXPIRE', key, ARGV[8])

local head = WIRE .. ' ' .. birth .. ' ' .. version .. ' ' .. whole(last) .. ' ' .. token
if birth == ARGV[3] and whole(version) == ARGV[4] then
    return head .. ' 0\n'
end
local tokens = {}
all = redis.call('HGETALL', key)
for i = 1, #all, 2 do
    if string.sub(all[i], 1, 1) == 'n' then
        tokens[#tokens + 1] = string.match(all[i + 1], '^%d+') .. '\n'
    end
end
return head .. ' 1\n' .. table.concat(tokens)
