#!lua
-- repeat_add: a repetition and its first job, which stands in delayed. Refused by a full Redis, as every add is.
-- ARGV: token, member of the zset, next ms, "repeat:<md5>:", name, data, opts, timestamp, delay, priority.
-- Returns 1 added, 0 that job was there.
local call = redis.call
local B, token, next_ms, id = KEYS[1], ARGV[1], ARGV[3], ARGV[4] .. ARGV[3]
local counter = call('INCR', B .. 'id')
call('ZADD', B .. 'repeat', next_ms, ARGV[2])
if call('EXISTS', B .. id) == 1 then
  call('PUBLISH', B .. 'duplicated@' .. token, id)
  return 0
end
call('HSET', B .. id, 'name', ARGV[5], 'data', ARGV[6], 'opts', ARGV[7], 'timestamp', ARGV[8], 'delay', ARGV[9],
  'priority', ARGV[10])
call('ZADD', B .. 'delayed', tonumber(next_ms) * 4096 + counter % 4096, id)
call('PUBLISH', B .. 'delayed', next_ms)
return 1
