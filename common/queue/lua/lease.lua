-- lease: who may work on an ordered queue. ARGV: op, token, the value last granted, lease ms.
--   a asked for: granted when nobody holds it, or we do, with the next epoch: what an earlier connection of ours sent and
--     Redis has not read yet is fenced then
--   r renewed, if it is that very value; the locks of what we have in active live on with it
--   x given up, if it is that very value
-- Returns { 1 ours, 0 not; the value that stands there, "" for none; ms that it lives }.
local op, token, value, lease_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local key = B .. 'dray:lease'
local now_there = call('GET', key) or ''
local holder = string.match(now_there, '^(.*)/%d+$')
if op == 'a' then
  if now_there ~= '' and holder ~= token then
    local left = call('PTTL', key)
    if left < 0 then -- made to last by hand; it shall not
      call('PEXPIRE', key, lease_ms)
      left = lease_ms
    end
    return { 0, now_there, left }
  end
  value = token .. '/' .. string.format('%.0f', call('INCR', B .. 'dray:epoch'))
  call('SET', key, value, 'PX', lease_ms)
  return { 1, value, lease_ms }
end
if now_there ~= value then
  return { 0, now_there, math.max(0, call('PTTL', key)) }
end
if op == 'x' then
  call('DEL', key)
  return { 1, '', 0 }
end
call('PEXPIRE', key, lease_ms)
local first = 0
while true do
  local ids = call('LRANGE', B .. 'active', first, first + 999)
  if #ids == 0 then
    break
  end
  local locks, ours = {}, {}
  for i = 1, #ids do
    locks[i] = B .. ids[i] .. ':lock'
  end
  local holders = call('MGET', unpack(locks))
  for i = 1, #ids do
    if holders[i] == token then
      call('PEXPIRE', locks[i], lease_ms)
      ours[#ours + 1] = ids[i]
    end
  end
  if #ours > 0 then
    call('SREM', B .. 'stalled', unpack(ours))
  end
  first = first + 1000
end
return { 1, value, lease_ms }
