-- repeat_remove: ends a repetition, and removes its next job as long as that stands in delayed.
-- ARGV: member of the zset, "repeat:<md5>:". Returns 1, or 0 when there is none.
local next_ms = call('ZSCORE', B .. 'repeat', ARGV[1])
if not next_ms then
  return 0
end
local id = ARGV[2] .. next_ms
if call('ZREM', B .. 'delayed', id) == 1 then
  call('DEL', B .. id, B .. id .. ':logs')
end
return call('ZREM', B .. 'repeat', ARGV[1])
