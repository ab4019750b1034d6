-- split: in the place of a job that is ours come two, each with a part of its data: in front of all others, the first first.
-- ARGV: token, lease ("" on a queue that has none), tombstone ms, id, id of the first, of the second, data of the first, of
-- the second. They have the job's name, options, priority and timestamp; no attempt is counted. On an ordered queue all of
-- ours that was taken after the job goes back behind them, in order.
-- Returns 0 done, -1 no such job, -2 the lock is not ours, -4 the lease is not.
local token, lease, tombstone_ms, id = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local key, active = B .. id, B .. 'active'
if lease ~= '' and redis.pcall('GET', B .. 'dray:lease') ~= lease then
  return -4
end
if call('TYPE', key).ok ~= 'hash' then
  return -1
end
if call('GET', key .. ':lock') ~= token then
  return -2
end
local list = target()
if lease ~= '' then
  local ids, at = call('LRANGE', active, 0, -1), 0
  for i = 1, #ids do
    at = ids[i] == id and i or at
  end
  for i = 1, at - 1 do
    local lock = B .. ids[i] .. ':lock'
    if (call('GET', lock) or token) == token then
      call('LREM', active, -1, ids[i])
      call('DEL', lock)
      call('SREM', B .. 'stalled', ids[i])
      put_in_front(list, ids[i])
    end
  end
end
if call('LREM', active, -1, id) == 0 then
  return -2
end
call('DEL', key .. ':lock', B .. 'dray:took')
call('SREM', B .. 'stalled', id)
local names = { 'name', 'opts', 'timestamp', 'delay', 'priority', 'dray:retried', 'retriedOn' }
local old = call('HMGET', key, unpack(names))
for part = 2, 1, -1 do
  local half = ARGV[4 + part]
  call('DEL', B .. half, B .. half .. ':lock')
  call('HSET', B .. half, 'data', ARGV[6 + part])
  for i = 1, #names do
    if old[i] then
      call('HSET', B .. half, names[i], old[i])
    end
  end
  put_in_front(list, half)
end
forget({ id }, now_ms(), tombstone_ms)
return 0
