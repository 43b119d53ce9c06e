-- SPDX-License-Identifier: MIT
-- One visit to a history: append entries, or read some. memory/history.c does the same for the
-- memory backend.
--
-- KEYS[1]  hash: 'i' -> "1 birth first last" and what later versions add (1: the wire form, store/wire.h), 'e' .. id -> "seq writer-length value-length\n" writer
--          value, 'w' .. writer -> the last sequence number taken from it, 'W' -> the writers,
--          't' -> timeline, 'f' -> its forks: "timeline id;" for each, the id before its first
-- ARGV     'a' timeline, command to publish with, channel writer most, then sequence and value for each entry to append
--          'f' birth timeline after mark limit    entries behind `after`: behind the last place that
--                                   is shared, when the caller knew another timeline, and from the
--                                   first one when it knew another birth, or read another entry at
--                                   `after` ("sequence writer"). Limit 0: the last one, and the writers
--          'n' offset limit         the newest ones, the newest first
-- answer   a history note (store/history/note.h); appends publish one too. What timelines are:
--          docs/store.md
--
-- Ids count up by one from the birth, which is this server's clock in microseconds: below 2^53, and
-- above every id given before a restart that lost them.
local key, mode = KEYS[1], ARGV[1]
local WIRE, WRITERS, FORKS = '1', 1024, 8

local function whole(number)
    return string.format('%.0f', number)
end

local birth, first, last = 0, 1, 0
local head = redis.call('HMGET', key, 'i', 't')
local info, timeline = head[1], head[2] or '-'
local more = ''
if info then
    local form, b, f, l, rest = string.match(info, '^(%d+) (%d+) (%d+) (%d+)(.*)$')
    if form ~= WIRE then
        return redis.error_reply('WIRE ' .. key .. ' is of form ' .. (form or '0') .. ', this node reads ' .. WIRE)
    end
    birth, first, last, more = tonumber(b), tonumber(f), tonumber(l), rest
end

local function note(after, count, parts, writers)
    return WIRE .. ' ' .. whole(birth) .. ' ' .. timeline .. ' ' .. whole(after) .. ' ' .. whole(last) .. ' ' ..
        count .. ' ' .. (writers or 0) .. '\n' .. table.concat(parts)
end

-- The last place that this history and the one of `seen` share: where the successor of `seen` began.
local function shared(seen)
    local found = false
    for name, id in string.gmatch(redis.call('HGET', key, 'f') or '', '(%S+) (%d+);') do
        if found then
            return tonumber(id)
        end
        found = name == seen
    end
    return math.max(birth - 1, 0)
end

local function list(from, to, step)
    local fields, ids, parts, count = {}, {}, {}, 0
    for id = from, to, step do
        ids[#ids + 1] = whole(id)
        fields[#fields + 1] = 'e' .. ids[#ids]
    end
    local found = #fields > 0 and redis.call('HMGET', key, unpack(fields)) or {}
    for i, entry in ipairs(found) do
        if entry then
            count = count + 1
            parts[#parts + 1] = ids[i] .. ' ' .. entry
        end
    end
    return count, parts
end

-- A node that takes a position learns what was taken of each writer: none of that is new to it; and
-- what stands at its place.
local function writers()
    local found, parts = list(math.max(last, first), last, 1)
    local count = 0
    for name in string.gmatch(redis.call('HGET', key, 'W') or '', '[^\n]+') do
        count = count + 1
        parts[found + count] = (redis.call('HGET', key, 'w' .. name) or '0') .. ' ' .. #name .. '\n' .. name
    end
    return note(last, found, parts, count)
end

-- Where a server does not say what its history is, or a key was put back by hand: is this what the
-- caller read?
local function is_read(id, mark)
    local entry = mark ~= '' and redis.call('HGET', key, 'e' .. whole(id))
    if not entry then
        return mark == '' or id <= last
    end
    local sequence, len, at = string.match(entry, '^(%d+) (%d+) [^\n]*\n()')
    return sequence .. ' ' .. string.sub(entry, at, at + tonumber(len) - 1) == mark
end

if mode == 'f' then
    local known, seen, after = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
    local limit = tonumber(ARGV[6])
    if limit == 0 then
        return writers()
    elseif known ~= birth then
        after = math.max(birth - 1, 0)
    elseif seen ~= timeline then
        after = math.min(after, shared(seen))
    elseif not is_read(after, ARGV[5]) then
        after = math.max(birth - 1, 0)
    end
    local from = math.max(after + 1, first)
    return note(after, list(from, math.min(last, from + limit - 1), 1))
elseif mode == 'n' then
    local from = last - tonumber(ARGV[2])
    return note(0, list(from, math.max(first, from - tonumber(ARGV[3]) + 1), -1))
end

local channel, writer, most = ARGV[4], ARGV[5], tonumber(ARGV[6])
local taken = redis.call('HGET', key, 'w' .. writer)
if not taken then
    local names = (redis.call('HGET', key, 'W') or '') .. writer .. '\n'
    local _, count = string.gsub(names, '\n', '')
    if count > WRITERS then
        local cut = string.find(names, '\n', 1, true)
        redis.call('HDEL', key, 'w' .. string.sub(names, 1, cut - 1))
        names = string.sub(names, cut + 1)
    end
    redis.call('HSET', key, 'W', names)
end
taken = tonumber(taken or '-1')

if not info then
    local time = redis.call('TIME')
    birth = tonumber(time[1]) * 1000000 + tonumber(time[2])
    first, last = birth, birth - 1
end

local function begin_timeline()
    local forks = (redis.call('HGET', key, 'f') or '') .. ARGV[2] .. ' ' .. whole(last) .. ';'
    local _, kept = string.gsub(forks, ';', '')
    if kept > FORKS then
        forks = string.sub(forks, string.find(forks, ';', 1, true) + 1)
    end
    timeline = ARGV[2]
    redis.call('HSET', key, 't', timeline, 'f', forks)
end

local parts, count, before = {}, 0, last
for i = 7, #ARGV, 2 do
    local sequence, value = tonumber(ARGV[i]), ARGV[i + 1]
    if sequence > taken then
        if count == 0 and timeline ~= ARGV[2] then
            begin_timeline()
        end
        taken, last, count = sequence, last + 1, count + 1
        local entry = ARGV[i] .. ' ' .. #writer .. ' ' .. #value .. '\n' .. writer .. value
        redis.call('HSET', key, 'e' .. whole(last), entry)
        parts[#parts + 1] = whole(last) .. ' ' .. entry
    end
end
if count > 0 then
    while last - first + 1 > most do
        redis.call('HDEL', key, 'e' .. whole(first))
        first = first + 1
    end
    redis.call('HSET', key, 'i', WIRE .. ' ' .. whole(birth) .. ' ' .. whole(first) .. ' ' ..
        whole(last) .. more, 'w' .. writer, whole(taken))
    redis.call(ARGV[3], channel, note(before, count, parts))
end
return note(last, 0, {})
