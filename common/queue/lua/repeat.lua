-- repeat: the taken job <old> repeats: adds the one behind it, with the same data, in delayed.
-- ARGV: token, old, member of the zset, time of old in ms (0: not told), next ms, "repeat:<md5>:", opts, timestamp,
-- delay, priority. Returns 1 added, 0 there already, -1 no such job, -2 the lock is not ours, -3 the repetition is no
-- more. The member's score says which job was added last: one that is behind old, and there, was added for it.
local token, old, member, prev, next_ms, stem = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]
local from, to = B .. old, B .. stem .. next_ms
if call('GET', from .. ':lock') ~= token then
  return call('EXISTS', from) == 1 and -2 or -1
end
if call('HEXISTS', from, 'data') == 0 then
  return -1
end
local last = tonumber(call('ZSCORE', B .. 'repeat', member))
if not last then
  return -3
end
if last > prev and call('EXISTS', B .. stem .. string.format('%.0f', last)) == 1 then
  return 0
end
local counter = call('INCR', B .. 'id')
call('ZADD', B .. 'repeat', next_ms, member)
if call('COPY', from, to) == 0 then
  call('PUBLISH', B .. 'duplicated@' .. token, stem .. next_ms)
  return 0
end
call('HDEL', to, 'processedOn', 'finishedOn', 'retriedOn', 'attemptsMade', 'stalledCounter', 'failedReason', 'stacktrace',
  'returnvalue', 'progress', 'deid')
call('HSET', to, 'opts', ARGV[7], 'timestamp', ARGV[8], 'delay', ARGV[9], 'priority', ARGV[10])
call('ZADD', B .. 'delayed', tonumber(next_ms) * 4096 + counter % 4096, stem .. next_ms)
call('PUBLISH', B .. 'delayed', next_ms)
return 1
