-- SPDX-License-Identifier: MIT
-- Appends what several callers want stored, each caller's entries whole or not at all.
--
-- KEYS[1]  hash of the stream: last (seq), birth (seq of the first append), lanes, sink (Unix time
--          until which a sink counts as there), a<lane> (entries appended), s<lane> (of these,
--          stored), n<node> -> "call time outcomes". Lane 0 is the stream KEYS[1]:0, with entries
--          <seq>-<ordinal> of one field: tag -> payload.
-- ARGV     lanes, bound, refuse (1 or 0), node, number of the call, again (1: it may have been
--          carried out before), then for each caller: count, and count times lane, tag, payload
-- answer   a letter for each caller: 1 stored, 0 the bound is reached
local meta = KEYS[1]
local lanes, bound, node, call = tonumber(ARGV[1]), tonumber(ARGV[2]), 'n' .. ARGV[4], ARGV[5]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

local function whole(number)
    return string.format('%.0f', number)
end

if ARGV[6] == '1' then
    local known = redis.call('HGET', meta, node)
    local number, outcomes = string.match(known or '', '^(%d+) %d+ (%d+)$')
    if number == call then
        return outcomes
    end
end

-- A new node: those who have been silent for an hour are gone.
if call == '1' then
    local all = redis.call('HGETALL', meta)
    for i = 1, #all, 2 do
        local at = string.sub(all[i], 1, 1) == 'n' and string.match(all[i + 1], '^%d+ (%d+)')
        if at and tonumber(at) < tonumber(time[1]) - 3600 then
            redis.call('HDEL', meta, all[i])
        end
    end
end

local head = redis.call('HMGET', meta, 'last', 'birth', 'lanes', 'sink')
local last, used = tonumber(head[1] or 0), tonumber(head[3] or 0)
local refuse = ARGV[3] == '1' or tonumber(head[4] or 0) > tonumber(time[1])
used = math.max(used, lanes)

local appended, kept, length = {}, 0, {}
for lane = 0, used - 1 do
    local count = redis.call('HMGET', meta, 'a' .. lane, 's' .. lane)
    appended[lane] = tonumber(count[1] or 0)
    length[lane] = redis.call('XLEN', meta .. ':' .. lane)
    local unstored = math.min(length[lane], appended[lane] - tonumber(count[2] or 0))
    kept = kept + (refuse and unstored or length[lane])
end

local outcomes, changed, at = {}, {}, 7
while at <= #ARGV do
    local count = tonumber(ARGV[at])
    at = at + 1
    if refuse and kept + count > bound then
        outcomes[#outcomes + 1] = '0'
    else
        for i = at, at + 3 * count - 1, 3 do
            local lane = tonumber(ARGV[i])
            last = math.max(last + 1, now)
            appended[lane] = appended[lane] + 1
            length[lane] = length[lane] + 1
            changed[lane] = true
            redis.call('XADD', meta .. ':' .. lane, whole(last) .. '-' .. whole(appended[lane]),
                ARGV[i + 1], ARGV[i + 2])
        end
        kept = kept + count
        outcomes[#outcomes + 1] = '1'
    end
    at = at + 3 * count
end

-- The oldest go: from the lane whose first entry is the oldest.
while not refuse and kept > bound do
    local oldest, chosen
    for lane = 0, used - 1 do
        local first = redis.call('XRANGE', meta .. ':' .. lane, '-', '+', 'COUNT', 1)[1]
        local seq = first and tonumber(string.match(first[1], '^%d+'))
        if seq and (not oldest or seq < oldest) then
            oldest, chosen = seq, lane
        end
    end
    local over = math.min(kept - bound, length[chosen])
    length[chosen] = length[chosen] - over
    redis.call('XTRIM', meta .. ':' .. chosen, 'MAXLEN', length[chosen])
    kept = kept - over
end

outcomes = table.concat(outcomes)
local fields = {'last', whole(last), 'lanes', used, node, call .. ' ' .. time[1] .. ' ' .. outcomes}
if not head[2] then
    fields[#fields + 1] = 'birth'
    fields[#fields + 1] = whole(now)
end
for lane in pairs(changed) do
    fields[#fields + 1] = 'a' .. lane
    fields[#fields + 1] = whole(appended[lane])
end
redis.call('HSET', meta, unpack(fields))
return outcomes
