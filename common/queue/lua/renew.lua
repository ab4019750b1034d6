-- renew: extends the locks that are still ours. ARGV: token, lock ms, id... Returns for each id 1 renewed, 0 lost.
local token, lock_ms = ARGV[1], ARGV[2]
local locks, ids, codes, ours = {}, {}, {}, {}
for i = 3, #ARGV do
  ids[i - 2] = ARGV[i]
  locks[i - 2] = B .. ARGV[i] .. ':lock'
end
if #ids == 0 then
  return codes
end
local holders = call('MGET', unpack(locks))
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
