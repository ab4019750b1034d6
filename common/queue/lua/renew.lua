-- renew: extends the locks that are still ours. ARGV: token, lock ms, lease ("" for a queue that is not ordered: on one
-- that is, nothing is ours without it, and no lock outlives it), id... Returns for each id 1 renewed, 0 lost.
local token, lock_ms, lease = ARGV[1], ARGV[2], ARGV[3]
local locks, ids, codes, ours = {}, {}, {}, {}
for i = 4, #ARGV do
  ids[i - 3] = ARGV[i]
  locks[i - 3] = B .. ARGV[i] .. ':lock'
end
if #ids == 0 then
  return codes
end
local holders = call('MGET', unpack(locks))
if lease ~= '' then
  if call('GET', B .. 'dray:lease') ~= lease then
    holders = {}
  end
  lock_ms = math.max(1, call('PTTL', B .. 'dray:lease'))
end
for i = 1, #ids do
  codes[i] = 0
  if holders[i] == token then
    codes[i] = call('PEXPIRE', locks[i], lock_ms)
    ours[#ours + 1] = ids[i]
  end
end
if #ours > 0 then
  call('SREM', B .. 'stalled', unpack(ours))
end
return codes
