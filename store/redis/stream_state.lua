-- SPDX-License-Identifier: MIT
-- What a sink has stored may go; how the stream is.
--
-- KEYS[1]  as in stream_append.lua
-- ARGV     keep (entries of each lane that stay), microseconds for which entries stay, the most that
--          stay for that, sink (seconds for which the sink counts as there; 0: it is not a sink that
--          asks), seen (seq above which new ones are), identity that the asker knew, identity of a
--          new stream, writers (1: list them), node of the asker, which is not silent then, the first lane and
--          the step to the next that the key may have, then lane, seq, ordinal, identity, timeline for each mark
-- answer   "identity timeline was last lanes entries stored" (stored: as stream_append.lua says), the
--          unstored entries of each lane, a line with the forks, and a line "call node" for each writer
local WIRE, FRESH, meta = '1', 600, KEYS[1]
local head = redis.call('HMGET', meta, 'id', 't', 'last', 'lanes', 'was', 'forks', 'v')
local identity, timeline = head[1], head[2] or '-'
local last, lanes = tonumber(head[3] or 0), tonumber(head[4] or 0)
if identity and head[7] ~= WIRE then
    return redis.error_reply('WIRE ' .. meta .. ' is of form ' .. (head[7] or '0') .. ', this node reads ' .. WIRE)
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local sink = tonumber(ARGV[4])

local function whole(number)
    return string.format('%.0f', number)
end

local function trim(lane, before, over)
    if over > 0 then
        redis.call('XTRIM', meta .. ':' .. lane, 'MINID', '~', whole(before), 'LIMIT', over)
    end
end

-- What goes, goes first: a server that is full lets a script write once it has made room. A mark of
-- another history says nothing about this one (docs/store.md).
local fields = {}
for i = 12, #ARGV, 5 do
    local lane, seq, ordinal = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
    if ARGV[i + 3] == identity and ARGV[i + 4] == timeline then
        local count = redis.call('HMGET', meta, 'a' .. lane, 's' .. lane)
        ordinal = math.min(ordinal, tonumber(count[1] or 0))
        if ordinal > tonumber(count[2] or 0) then
            fields[#fields + 1] = 's' .. lane
            fields[#fields + 1] = whole(ordinal)
            fields[#fields + 1] = 'q' .. lane
            fields[#fields + 1] = whole(ordinal) .. ' ' .. whole(seq)
        end
        local length = redis.call('XLEN', meta .. ':' .. lane)
        trim(lane, math.min(seq + 1, now - tonumber(ARGV[2])), length - tonumber(ARGV[1]))
        length = redis.call('XLEN', meta .. ':' .. lane)
        trim(lane, seq + 1, length - math.max(tonumber(ARGV[1]), tonumber(ARGV[3])))
    end
end
-- The writer that asks is there: its calls are not forgotten (stream_append.lua), however long it had none.
local call = redis.call('HGET', meta, 'n' .. ARGV[9])
local number, at, outcomes = string.match(call or '', '^(%d+) (%d+) (%d*)$')
if number and tonumber(at) < tonumber(time[1]) - FRESH then
    fields[#fields + 1] = 'n' .. ARGV[9]
    fields[#fields + 1] = number .. ' ' .. time[1] .. ' ' .. outcomes
end
if sink > 0 then
    if not identity then
        identity = ARGV[7]
        head[5] = ARGV[6]
        fields[#fields + 1] = 'v'
        fields[#fields + 1] = WIRE
        fields[#fields + 1] = 'id'
        fields[#fields + 1] = identity
        fields[#fields + 1] = 'was'
        fields[#fields + 1] = ARGV[6]
    end
    if tonumber(ARGV[5]) > last then
        last = tonumber(ARGV[5])
        fields[#fields + 1] = 'last'
        fields[#fields + 1] = ARGV[5]
    end
    fields[#fields + 1] = 'sink'
    fields[#fields + 1] = tonumber(time[1]) + sink
end
-- A server that is full takes no word of it unless something went before; it is asked again, and says
-- meanwhile how things are. A new stream is not named before it can be written down.
if #fields > 0 then
    local written = redis.pcall('HSET', meta, unpack(fields))
    if type(written) == 'table' and written.err and
        (not head[1] or not string.find(written.err, 'OOM', 1, true)) then
        return written
    end
end

local entries, unstored, stored = 0, {}, last
for lane = tonumber(ARGV[10]), lanes - 1, tonumber(ARGV[11]) do
    local count = redis.call('HMGET', meta, 'a' .. lane, 's' .. lane, 'q' .. lane)
    local length = redis.call('XLEN', meta .. ':' .. lane)
    entries = entries + length
    unstored[#unstored + 1] = math.max(0, math.min(length, tonumber(count[1] or 0) -
        tonumber(count[2] or 0)))
    local ordinal, seq = string.match(count[3] or '', '^(%d+) (%d+)$')
    if unstored[#unstored] > 0 and (not count[2] or ordinal == count[2]) then
        stored = math.min(stored, tonumber(seq or 0))
    end
end
local parts = {}
if ARGV[8] == '1' then
    local all = redis.call('HGETALL', meta)
    for i = 1, #all, 2 do
        local call = string.sub(all[i], 1, 1) == 'n' and string.match(all[i + 1], '^%d+')
        if call then
            parts[#parts + 1] = call .. ' ' .. string.sub(all[i], 2) .. '\n'
        end
    end
end
return (identity or '') .. ' ' .. timeline .. ' ' .. (head[5] or '') .. ' ' .. whole(last) .. ' ' ..
    lanes .. ' ' .. entries .. ' ' .. whole(stored) .. ' ' .. table.concat(unstored, ' ') .. '\n' .. (head[6] or '') .. '\n' ..
    table.concat(parts)
