-- SPDX-License-Identifier: MIT
-- The roll of a server: which nodes hold a link to it, and what each of them speaks. A node calls when its
-- link begins and at each beat; one that could not be understood is not let in (docs/store.md#wire-version).
--
-- KEYS[1]  hash: 'l' -> the list of servers of the fleet, which stays; 'n' .. node -> "until words", 'c' -> "count words;" for all that are on it, 's' -> the first
--          `until`, or before it. Words: "writes from to", forms of the wire
-- ARGV     '+' be on it, '?' only ask, '-' leave it; node, lease (us), writes, from, to, the caller's list of servers
-- answer   '+' welcome, '=' once the others write what this one reads, '-' never while they are there, then
--          "count words;" for all others; or '!' and the list that is kept here: it is another one
local key, verb, node = KEYS[1], ARGV[1], ARGV[2]
local lease, from, to = tonumber(ARGV[3]), tonumber(ARGV[5]), tonumber(ARGV[6])
local own = ARGV[4] .. ' ' .. ARGV[5] .. ' ' .. ARGV[6]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local head = redis.call('HMGET', key, 'c', 's', 'n' .. node, 'l')
if head[4] and head[4] ~= ARGV[7] then
    return '!' .. head[4]
end
local counts, soonest = {}, tonumber(head[2] or 0)

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

local function list()
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

local others, answer = list(), '+'
for words in pairs(counts) do
    local w, f, t = string.match(words, '^(%d+) (%d+) (%d+)')
    if tonumber(f) > to or tonumber(t) < from then
        answer = '-'
    elseif tonumber(w) > to and answer == '+' then
        answer = '='
    end
end

if verb == '+' and answer ~= '-' then
    count(own, 1)
    write('HSET', key, 'n' .. node, whole(now + lease) .. ' ' .. own, 'c', list(), 's',
        whole(head[1] and math.min(soonest, now + lease) or now + lease), 'l', ARGV[7])
elseif head[3] and verb ~= '?' then
    write('HDEL', key, 'n' .. node)
    write('HSET', key, 'c', others)
end
return answer .. others
