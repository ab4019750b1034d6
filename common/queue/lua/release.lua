-- release: hands back active jobs locked by one token, to be taken next, in their order.
-- ARGV: token, first index of active, how many to look at, id to leave alone... Returns { released, looked at }.
local token, first, max = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local ids = call('LRANGE', B .. 'active', first, first + max - 1)
if #ids == 0 then
  return { 0, 0 }
end
local spared, locks, unlock, back = {}, {}, {}, {}
for i = 4, #ARGV do
  spared[ARGV[i]] = true
end
for i = 1, #ids do
  locks[i] = B .. ids[i] .. ':lock'
end
local holders = call('MGET', unpack(locks))
for i = 1, #ids do
  if holders[i] == token and not spared[ids[i]] then
    call('LREM', B .. 'active', -1, ids[i])
    unlock[#unlock + 1] = locks[i]
    back[#back + 1] = ids[i]
    if call('EXISTS', B .. ids[i]) == 1 then
      local priority = tonumber(call('HGET', B .. ids[i], 'priority')) or 0
      if priority > 0 then
        call('ZADD', B .. 'priority', priority, ids[i])
      end
    end
  end
end
if #back > 0 then
  call('DEL', unpack(unlock))
  call('SREM', B .. 'stalled', unpack(back))
  call('RPUSH', target(), unpack(back)) -- active's right end is the oldest: it comes to stand at the right again
end
return { #back, #ids }
