-- SPDX-License-Identifier: MIT
-- In front of each script that touches a partition's keys at a server of a list: what is on its way to another
-- server of a list that changes, or has left, is not touched (docs/store.md#a-list-that-changes). Rosters and the
-- bus are not copied, and go on until the partition has left.
--
-- <prefix>:moves  hash: tag -> "held until token", or "gone" (moves.lua)
do
    local prefix, tag, kind = string.match(KEYS[1], '^(.-):{(..)}:(%a)')
    local marker = redis.call('HGET', prefix .. ':moves', tag)
    if marker == 'gone' then
        return redis.error_reply('GONE ' .. tag)
    elseif marker and kind ~= 'b' and kind ~= 'r' then
        local time = redis.call('TIME')
        if tonumber(time[1]) * 1000000 + tonumber(time[2]) < tonumber(string.match(marker, '^held (%d+)')) then
            return redis.error_reply('HELD ' .. tag)
        end
    end
end
