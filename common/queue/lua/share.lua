-- share: the members of a destination, who share its partitions. ARGV: token, ms of silence after which a member is
-- removed, "1" to leave. Returns { members, our rank by time of joining, token in that order... }.
local token, silence_ms, leaving = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'
local members, seen = B .. 'dray:members', B .. 'dray:seen'
local now = now_ms()
-- Seen in the future: the clock went back.
for _, early in ipairs(call('ZRANGEBYSCORE', seen, '(' .. now, '+inf')) do
  call('ZADD', seen, now, early)
end
for _, gone in ipairs(call('ZRANGEBYSCORE', seen, '-inf', '(' .. (now - silence_ms))) do
  call('ZREM', seen, gone)
  call('ZREM', members, gone)
end
if leaving then
  call('ZREM', seen, token)
  call('ZREM', members, token)
else
  call('ZADD', seen, now, token)
  call('ZADD', members, 'NX', now, token)
end
local all = call('ZRANGE', members, 0, -1)
local answer, rank = { 0, 0 }, nil
for i = 1, #all do
  if call('ZSCORE', seen, all[i]) then
    rank = all[i] == token and #answer - 2 or rank
    answer[#answer + 1] = all[i]
  else
    call('ZREM', members, all[i])
  end
end
local life_ms = math.max(60000, 2 * silence_ms)
call('PEXPIRE', members, life_ms)
call('PEXPIRE', seen, life_ms)
answer[1] = #answer - 2
answer[2] = rank or answer[1]
return answer
