-- SPDX-License-Identifier: MIT
-- The roll of a server: which nodes hold a link to it, and what each of them speaks. A node calls when its
-- link begins and at each beat; one that could not be understood is not let in (docs/store.md#wire-version).
--
-- KEYS[1]  hash: 'l' -> the list of servers of the fleet, which stays; 'n' .. node -> "until words", 'c' -> "count words;" for all that are on it, 's' -> the first
--          `until`, or before it. Words: "writes from to", forms of the wire
--          <prefix>:moves  partitions on their way (moves.lua), where the list changes
-- ARGV     '+' be on it, '?' only ask, '-' leave it; node, lease (us), writes, from, to, the caller's list of servers;
--          of a list that changes, "old;new", also: old, new, is the server one of old (1 or 0), have all partitions moved (1 or 0)
-- answer   '+' welcome, '=' once the others write what this one reads, '-' never while they are there, then
--          "count words;" for all others; or '!' and the list that is kept here: it is another one
local key, verb, node = KEYS[1], ARGV[1], ARGV[2]
local lease, from, to = tonumber(ARGV[3]), tonumber(ARGV[5]), tonumber(ARGV[6])
local own = ARGV[4] .. ' ' .. ARGV[5] .. ' ' .. ARGV[6]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local head = redis.call('HMGET', key, 'c', 's', 'n' .. node, 'l')
local list, changes = head[4], ARGV[8] ~= nil
if not changes and list and list ~= ARGV[7] then
    return '!' .. list
end
local counts, soonest = {}, tonumber(head[2] or 0)
-- Who knows of the change says so behind its words: 12 digits that name it.
local change = changes and ' ' .. string.sub(redis.sha1hex(ARGV[7]), 1, 12) or ''
own = own .. change

local function whole(number)
    return string.format('%.0f', number)
end

local function count(words, step)
    counts[words] = (counts[words] or 0) + step
    counts[words] = counts[words] > 0 and counts[words] or nil
end

-- A server that is full takes no word of it; it is read all the same.
local function write(...)
    redis.pcall(...)
end

-- All speak alike, nobody's time is up, and the caller is one of them: as nearly always.
local alike = tonumber(string.match(head[1] or '', '^(%d+) ' .. own .. ';$') or 0)
if verb == '+' and not changes and now < soonest and alike > 0 and
    string.match(head[3] or '', '^%d+ (.*)$') == own then
    write('HSET', key, 'n' .. node, whole(now + lease) .. ' ' .. own)
    return alike > 1 and '+' .. whole(alike - 1) .. ' ' .. own .. ';' or '+'
end

for number, words in string.gmatch(head[1] or '', '(%d+) ([^;]+);') do
    counts[words] = tonumber(number)
end
if head[3] then
    count(string.match(head[3], '^%d+ (.*)$'), -1)
end
if head[1] and now >= soonest then
    local all = redis.call('HGETALL', key)
    counts, soonest = {}, now + lease
    for i = 1, #all, 2 do
        if string.sub(all[i], 1, 1) == 'n' and all[i] ~= 'n' .. node then
            local ends, words = string.match(all[i + 1], '^(%d+) (.*)$')
            if tonumber(ends) <= now then
                write('HDEL', key, all[i])
            else
                count(words, 1)
                soonest = math.min(soonest, tonumber(ends))
            end
        end
    end
end

local function print_counts()
    local names, parts = {}, {}
    for words in pairs(counts) do
        names[#names + 1] = words
    end
    table.sort(names)
    for i, words in ipairs(names) do
        parts[i] = whole(counts[words]) .. ' ' .. words .. ';'
    end
    return table.concat(parts)
end

local others, answer = print_counts(), '+'
for words in pairs(counts) do
    local w, f, t = string.match(words, '^(%d+) (%d+) (%d+)')
    if tonumber(f) > to or tonumber(t) < from then
        answer = '-'
    elseif tonumber(w) > to and answer == '+' then
        answer = '='
    end
end

-- A list that changes (docs/store.md#a-list-that-changes): the old one counts until all on the roll know of the
-- change, "old;new" until all partitions have moved, then the new one. A server that only the new one has begins
-- with "old;new": what it kept of an earlier life says nothing.
local function may_move()
    for words in pairs(counts) do
        if string.sub(words, -#change) ~= change then
            return false
        end
    end
    return true
end

local function next_list()
    local both, old, new = ARGV[7], ARGV[8], ARGV[9]
    if ARGV[11] == '1' and (list == both or list == new or others == '') then
        return new
    elseif list == both or (list == new and (ARGV[10] == '1' or others ~= '')) then
        return list
    elseif ARGV[10] == '1' and (not list or list == old) then
        return may_move() and verb == '+' and both or old
    end
    return ARGV[10] == '0' and (not list or others == '') and both
end

local kept = ARGV[7]
if changes then
    kept = next_list()
    if not kept then
        return '!' .. list
    end
    if verb == '+' and (kept == ARGV[8] or (kept ~= list and kept ~= ARGV[9])) then
        write('DEL', string.sub(key, 1, -5) .. 'moves')
    end
end

if verb == '+' and answer ~= '-' then
    count(own, 1)
    write('HSET', key, 'n' .. node, whole(now + lease) .. ' ' .. own, 'c', print_counts(), 's',
        whole(head[1] and math.min(soonest, now + lease) or now + lease), 'l', kept)
elseif head[3] and verb ~= '?' then
    write('HDEL', key, 'n' .. node)
    write('HSET', key, 'c', others)
end
return answer .. others
