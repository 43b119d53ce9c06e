-- SPDX-License-Identifier: MIT
-- Which partitions have left a server of a list that changes, or have come to it, and their way from one to the
-- other (docs/store.md#a-list-that-changes; mover.c has the order of it, fence.lua looks at the markers).
--
-- KEYS[1]  hash: tag -> "held until token" or "gone", of what leaves; '+' .. tag -> token, "closed token" or "here", of
--          what comes; 'mover' -> "until token", the node that moves just now; 'swept' -> '1', what left is deleted
--          <prefix>:roll, whose 'l' says how far the change is (roll.lua)
-- ARGV     a verb, the list as it is while partitions move, the list that is to be, token, life of what is held
--          (us), tags one after the other, then what the verb wants
-- answer   of '?': "before", "moving" or "after", a space, 's' where it is swept, 'm' where a node moves, then a line
--          with 'g' .. tag for each that has left, 'h' .. tag for each that came. Of others "" where it may not be, else
--          what the verb says
local key, verb, token, life, tags = KEYS[1], ARGV[1], ARGV[4], ARGV[5], ARGV[6]
local prefix = string.sub(key, 1, -7) -- without ":moves"
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local ends_then = string.format('%.0f', now + tonumber(life))
local ends_mover = string.format('%.0f', now + 5 * tonumber(life))
local MOST_KEYS, MOST_SCANS, MOST_WORDS, MOST_BYTES = 64, 50, 2000, 1048576

local list = redis.call('HGET', prefix .. ':roll', 'l')
local phase = list == ARGV[2] and 'moving' or list == ARGV[3] and 'after' or 'before'

local wanted = {}
for tag in string.gmatch(tags, '..') do
    wanted[tag] = true
end

-- Is that marker of another attempt, and not over?
local function taken(marker)
    local ends, by = string.match(marker or '', '(%d+) (%S+)$')
    return ends and tonumber(ends) > now and by ~= token
end

local function mine(marker)
    local ends, by = string.match(marker or '', '^held (%d+) (%S+)$')
    return ends and tonumber(ends) > now and by == token
end

local function all(check)
    for tag in pairs(wanted) do
        if not check(tag) then
            return false
        end
    end
    return true
end

local function mark(field, value)
    for tag in pairs(wanted) do
        redis.call('HSET', key, field .. tag, value)
    end
end

-- Has each tag the keys of its partition held for this attempt? Then for longer.
local function hold_on()
    if not all(function(tag) return mine(redis.call('HGET', key, tag)) end) then
        return false
    end
    mark('', 'held ' .. ends_then .. ' ' .. token)
    redis.call('HSET', key, 'mover', ends_mover .. ' ' .. token)
    return true
end

-- Keys of partitions from `cursor` on, until `enough` says so; the next cursor.
local function scan(cursor, each)
    local scans = 0
    repeat
        local found = redis.call('SCAN', cursor, 'MATCH', prefix .. ':{??}:*', 'COUNT', 200)
        cursor, scans = found[1], scans + 1
        local more = true
        for _, name in ipairs(found[2]) do
            local tag, rest = string.match(string.sub(name, #prefix + 1), '^:{(..)}:(.*)$')
            if tag then
                more = each(name, tag, rest) and more
            end
        end
    until cursor == '0' or scans >= MOST_SCANS or not more
    return cursor
end

-- What a key has, as words: type, life in ms or -1, then its content.
local function pack(name)
    local kind = redis.call('TYPE', name).ok
    local words = {name, kind, tostring(redis.call('PTTL', name))}
    if kind == 'string' then
        words[4] = redis.call('GET', name)
    elseif kind == 'hash' then
        for _, word in ipairs(redis.call('HGETALL', name)) do
            words[#words + 1] = word
        end
    end
    return #words > 3 and words
end

local function write_hash(words)
    for from = 4, #words, MOST_WORDS do
        redis.call('HSET', words[1], unpack(words, from, math.min(from + MOST_WORDS - 1, #words)))
    end
end

local function write(words)
    local name, kind, left = words[1], words[2], tonumber(words[3])
    if kind == 'string' then
        redis.call('SET', name, words[4])
    elseif kind == 'hash' then
        write_hash(words)
    else -- entries of a lane: id, number of words, words
        local at = 4
        while at <= #words do
            local count = tonumber(words[at + 1])
            redis.call('XADD', name, words[at], unpack(words, at + 2, at + 1 + count))
            at = at + 2 + count
        end
    end
    if left >= 0 then
        redis.call('PEXPIRE', name, math.max(left, 1))
    end
end

local verbs = {}

verbs['?'] = function()
    local parts, all_fields = {}, phase ~= 'before' and redis.call('HGETALL', key) or {}
    local swept, moves = '', ''
    for i = 1, #all_fields, 2 do
        local field, value = all_fields[i], all_fields[i + 1]
        if field == 'mover' then
            moves = tonumber(string.match(value, '^%d+')) > now and 'm' or ''
        elseif field == 'swept' then
            swept = 's'
        elseif value == 'gone' then
            parts[#parts + 1] = 'g' .. field
        elseif value == 'here' then
            parts[#parts + 1] = 'h' .. string.sub(field, 2)
        end
    end
    return phase .. ' ' .. swept .. moves .. '\n' .. table.concat(parts)
end

-- At the old server: this node moves from now on.
verbs['begin'] = function()
    if phase ~= 'moving' or taken(redis.call('HGET', key, 'mover')) then
        return ''
    end
    redis.call('HSET', key, 'mover', ends_mover .. ' ' .. token)
    return '+'
end

-- What is held, and has not left, is held no longer.
verbs['end'] = function()
    for tag in pairs(wanted) do
        if mine(redis.call('HGET', key, tag)) then
            redis.call('HDEL', key, tag)
        end
    end
    if not taken(redis.call('HGET', key, 'mover')) then
        redis.call('HDEL', key, 'mover')
    end
    return '+'
end

-- At the new one: what comes is this attempt's to put, unless it is there.
verbs['open'] = function()
    local _, mover = string.match(redis.call('HGET', key, 'mover') or '', '(%d+) (%S+)')
    if mover == token then
        return redis.error_reply('SAME a server of the list that changes has two names')
    end
    if phase ~= 'moving' or not all(function(tag) return redis.call('HGET', key, '+' .. tag) ~= 'here' end) then
        return ''
    end
    mark('+', token)
    return '+'
end

local function is_open(tag)
    return redis.call('HGET', key, '+' .. tag) == token
end

-- There, too: whatever is left of an earlier life goes. Wants a cursor, says the next one.
verbs['clear'] = function()
    return all(is_open) and scan(ARGV[7], function(name, tag)
        if wanted[tag] then
            redis.call('UNLINK', name)
        end
        return true
    end) or ''
end

verbs['hold'] = function()
    local free = phase == 'moving' and not taken(redis.call('HGET', key, 'mover')) and all(function(tag)
        local marker = redis.call('HGET', key, tag)
        return marker ~= 'gone' and not taken(marker)
    end)
    if not free then
        return ''
    end
    mark('', 'held ' .. ends_then .. ' ' .. token)
    return hold_on() and '+' or ''
end

-- Wants a cursor, and names that were found there and not taken yet, packed, or ""; the next cursor, a space, how many
-- bytes follow of names that are still to be taken, a line's end, these, and what was taken, packed. No rosters: all
-- claim again where the partition is then; no lanes of the stream: those are long.
verbs['take'] = function()
    if not hold_on() then
        return ''
    end
    local cursor, names = ARGV[7], ARGV[8] ~= '' and cmsgpack.unpack(ARGV[8]) or {}
    if #names == 0 then
        cursor = scan(cursor, function(name, tag, rest)
            local kind = string.sub(rest, 1, 1)
            if wanted[tag] and kind ~= 'r' and not string.match(rest, '^s:%d+$') then
                names[#names + 1] = name
            end
            return #names < MOST_KEYS
        end)
    end
    local found, bytes, at = {}, 0, 1
    while at <= #names and bytes < MOST_BYTES do
        local words = pack(names[at])
        for _, word in ipairs(words or {}) do
            bytes = bytes + #word
        end
        found[#found + 1] = words or nil
        at = at + 1
    end
    local left = at <= #names and cmsgpack.pack({unpack(names, at)}) or ''
    return cursor .. ' ' .. #left .. '\n' .. left .. cmsgpack.pack(found)
end

-- Wants a lane's key, the id behind which, how many; the last id, a line's end, and the entries, packed. They are only
-- ever appended, so most of them can go before anything is held.
verbs['lane'] = function()
    local words, last, bytes = {ARGV[7], 'stream', '-1'}, ARGV[8], 0
    for _, entry in ipairs(redis.call('XRANGE', ARGV[7], last == '' and '-' or '(' .. last, '+', 'COUNT', ARGV[9])) do
        last = entry[1]
        words[#words + 1] = last
        words[#words + 1] = tostring(#entry[2])
        for _, word in ipairs(entry[2]) do
            words[#words + 1] = word
            bytes = bytes + #word
        end
        if bytes > MOST_BYTES then
            break
        end
    end
    if not hold_on() and not taken(redis.call('HGET', key, 'mover')) then
        redis.call('HSET', key, 'mover', ends_mover .. ' ' .. token)
    end
    return last .. '\n' .. (#words > 3 and cmsgpack.pack({words}) or '')
end

-- Wants what was packed.
verbs['put'] = function()
    if not all(is_open) then
        return ''
    end
    for _, words in ipairs(cmsgpack.unpack(ARGV[7])) do
        write(words)
    end
    return '+'
end

-- Nothing is put any more.
verbs['close'] = function()
    if not all(is_open) then
        return ''
    end
    mark('+', 'closed ' .. token)
    return '+'
end

verbs['commit'] = function()
    if phase ~= 'moving' or not hold_on() then
        return ''
    end
    mark('', 'gone')
    return '+'
end

-- At the new server, before anybody uses it there.
verbs['here'] = function()
    if phase == 'before' then
        return ''
    end
    mark('+', 'here')
    return '+'
end

-- What has left is deleted. Wants a cursor, says the next one.
verbs['sweep'] = function()
    local gone = {}
    local cursor = scan(ARGV[7], function(name, tag)
        gone[tag] = gone[tag] or redis.call('HGET', key, tag) or ''
        if gone[tag] == 'gone' then
            redis.call('UNLINK', name)
        end
        return true
    end)
    if cursor == '0' then
        redis.call('HSET', key, 'swept', '1')
    end
    return cursor
end

return verbs[verb]()
