-- One visit to a history: append entries, or read some. memory/history.c does the same for the
-- memory backend.
--
-- KEYS[1]  hash: 'i' -> "birth first last", 'e' .. id -> "seq writer-length value-length\n" writer
--          value, 'w' .. writer -> the last sequence number taken from it, 'W' -> the writers
-- ARGV     'a' channel writer most, then sequence and value for each entry to append
--          'f' birth after limit    entries behind `after`, or from the first one when the caller
--                                   knew another birth
--          'n' offset limit         the newest ones, the newest first
-- answer   a history note (store/history/note.h); appends publish one too
--
-- Ids count up by one from the birth, which is this server's clock in microseconds: below 2^53, and
-- above every id given before a restart that lost them.
local key, mode = KEYS[1], ARGV[1]
local WRITERS = 256

local function whole(number)
    return string.format('%.0f', number)
end

local birth, first, last = 0, 1, 0
local info = redis.call('HGET', key, 'i')
if info then
    local b, f, l = string.match(info, '^(%d+) (%d+) (%d+)$')
    birth, first, last = tonumber(b), tonumber(f), tonumber(l)
end

local function note(count, parts)
    return whole(birth) .. ' ' .. whole(last) .. ' ' .. count .. '\n' .. table.concat(parts)
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
    return note(count, parts)
end

if mode == 'f' then
    local known, after, limit = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
    local from = known == birth and math.max(after + 1, first) or first
    return list(from, math.min(last, from + limit - 1), 1)
elseif mode == 'n' then
    local from = last - tonumber(ARGV[2])
    return list(from, math.max(first, from - tonumber(ARGV[3]) + 1), -1)
end

local channel, writer, most = ARGV[2], ARGV[3], tonumber(ARGV[4])
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

local parts, count = {}, 0
for i = 5, #ARGV, 2 do
    local sequence, value = tonumber(ARGV[i]), ARGV[i + 1]
    if sequence > taken then
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
    redis.call('HSET', key, 'i', whole(birth) .. ' ' .. whole(first) .. ' ' .. whole(last),
        'w' .. writer, whole(taken))
    redis.call('PUBLISH', channel, note(count, parts))
end
return note(0, {})
