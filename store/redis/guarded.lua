-- SPDX-License-Identifier: MIT
-- Any command, behind the fence: a node whose list of servers changes sends its plain ones so.
--
-- KEYS[1]  a key or channel of the partition
-- ARGV     the command
-- answer   its answer
return redis.call(unpack(ARGV))
