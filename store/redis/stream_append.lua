-- SPDX-License-Identifier: MIT
-- Appends what several callers want stored, each caller's entries whole or not at all.
--
-- KEYS[1]  hash of the stream: v (the wire form, store/wire.h), id, was, t, forks (docs/store.md), last (seq), lanes, sink (Unix
--          time until which a sink counts as there), a<lane> (entries appended), s<lane> (of these,
--          stored), q<lane> -> "ordinal seq" of the last of these, n<node> -> "call time outcomes". Lane 0 is the
--          stream KEYS[1]:0, with entries <seq>-<ordinal> of two fields: tag -> payload, node -> "call.index".
-- ARGV     lanes, bound, refuse (1 or 0), node, number of the call, number of the one before it,
--          timeline of the server, seen (seq above which new ones are), identity that the node knew,
--          identity of a new stream, the first lane and the step to the next that the key may have, the number of
--          parts of the stream (of which this is the one with the number of its first lane: what is given as a
--          number here leaves that rest, and is given in no other part), then for each caller: count, index of the first, and count
--          times lane, tag, payload
-- answer   "state identity timeline last known stored outcomes": state is +, or = where the call was
--          carried out before; up to the seq `stored` sinks have all (0: not looked at); the outcomes have
--          a letter for each caller, 1 stored, 0 the bound is reached; or - where the server lacks calls of
--          the node behind `known`, and nothing was done
local meta = KEYS[1]
local lanes, bound, node, call = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[4], ARGV[5]
local first, step, parts = tonumber(ARGV[11]), tonumber(ARGV[12]), tonumber(ARGV[13])
local WIRE, FORKS = '1', 8

local function whole(number)
    return string.format('%.0f', number)
end

local head = redis.call('HMGET', meta, 'id', 't', 'last', 'lanes', 'sink', 'n' .. node, 'v')
local identity, timeline, last = head[1], head[2], tonumber(head[3] or 0)
local known, outcomes = string.match(head[6] or '', '^(%d+) %d+ (%d*)')
if identity and head[7] ~= WIRE then
    return redis.error_reply('WIRE ' .. meta .. ' is of form ' .. (head[7] or '0') .. ', this node reads ' .. WIRE)
end

local function answer(state, done, stored)
    return state .. ' ' .. (identity or '') .. ' ' .. (timeline or '') .. ' ' .. whole(last) .. ' ' ..
        (known or '0') .. ' ' .. whole(stored or 0) .. ' ' .. done
end

if tonumber(known or 0) >= tonumber(call) then
    return answer('=', known == call and outcomes or '')
elseif tonumber(known or 0) < tonumber(ARGV[6]) then
    return answer('-', '')
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local fields = {}
local function set(field, value)
    fields[#fields + 1] = field
    fields[#fields + 1] = value
end

if not identity then
    identity = ARGV[10]
    set('v', WIRE)
    set('id', identity)
    set('was', ARGV[9])
end
if timeline ~= ARGV[7] then
    local forks = (redis.call('HGET', meta, 'forks') or '') .. ARGV[7] .. ' ' .. whole(last) .. ';'
    local _, count = string.gsub(forks, ';', '')
    if count > FORKS then
        forks = string.sub(forks, string.find(forks, ';', 1, true) + 1)
    end
    timeline = ARGV[7]
    set('t', timeline)
    set('forks', forks)
end
last = math.max(last, tonumber(ARGV[8]))

-- A new node: drops the nodes that have been silent for an hour.
if call == '1' then
    local all = redis.call('HGETALL', meta)
    for i = 1, #all, 2 do
        local at = string.sub(all[i], 1, 1) == 'n' and string.match(all[i + 1], '^%d+ (%d+)')
        if at and tonumber(at) < tonumber(time[1]) - 3600 then
            redis.call('HDEL', meta, all[i])
        end
    end
end

local used = math.max(tonumber(head[4] or 0), lanes)
local refuse = ARGV[3] == '1' or tonumber(head[5] or 0) > tonumber(time[1])
local appended, kept, length, stored = {}, 0, {}, tonumber(head[3] or 0)
for lane = first, used - 1, step do
    local count = redis.call('HMGET', meta, 'a' .. lane, 's' .. lane, 'q' .. lane)
    appended[lane] = tonumber(count[1] or 0)
    length[lane] = redis.call('XLEN', meta .. ':' .. lane)
    local unstored = math.min(length[lane], appended[lane] - tonumber(count[2] or 0))
    kept = kept + (refuse and unstored or length[lane])
    -- A sink that writes no q says nothing of it: taken as if all were stored.
    local ordinal, seq = string.match(count[3] or '', '^(%d+) (%d+)$')
    if unstored > 0 and (not count[2] or ordinal == count[2]) then
        stored = math.min(stored, tonumber(seq or 0))
    end
end

-- The first caller that finds no room, and all after it, are refused: what is stored of a call is
-- its beginning, and a reader that had an entry of it had those before it.
local results, changed, at, full = {}, {}, 14, false
while at <= #ARGV do
    local count, index = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
    at = at + 2
    full = full or (count > 0 and refuse and kept + count > bound)
    if full then
        results[#results + 1] = '0'
    else
        for i = at, at + 3 * count - 1, 3 do
            local lane = tonumber(ARGV[i])
            last = math.max(last + 1, now)
            last = last + (first - last) % parts
            appended[lane] = appended[lane] + 1
            length[lane] = length[lane] + 1
            changed[lane] = true
            redis.call('XADD', meta .. ':' .. lane, whole(last) .. '-' .. whole(appended[lane]),
                ARGV[i + 1], ARGV[i + 2], node, call .. '.' .. whole(index))
            index = index + 1
        end
        kept = kept + count
        results[#results + 1] = '1'
    end
    at = at + 3 * count
end

-- The oldest go: from the lane whose first entry is the oldest.
while not refuse and kept > bound do
    local oldest, chosen
    for lane = first, used - 1, step do
        local entry = redis.call('XRANGE', meta .. ':' .. lane, '-', '+', 'COUNT', 1)[1]
        local seq = entry and tonumber(string.match(entry[1], '^%d+'))
        if seq and (not oldest or seq < oldest) then
            oldest, chosen = seq, lane
        end
    end
    local over = math.min(kept - bound, length[chosen])
    length[chosen] = length[chosen] - over
    redis.call('XTRIM', meta .. ':' .. chosen, 'MAXLEN', length[chosen])
    kept = kept - over
end

outcomes = table.concat(results)
set('last', whole(last))
set('lanes', used)
set('n' .. node, call .. ' ' .. time[1] .. ' ' .. outcomes)
for lane in pairs(changed) do
    set('a' .. lane, whole(appended[lane]))
end
redis.call('HSET', meta, unpack(fields))
known = call
return answer('+', outcomes, stored)
