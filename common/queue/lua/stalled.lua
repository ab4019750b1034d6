-- stalled: Bull's check for active jobs without a lock, throttled for all clients by stalled-check. What was active
-- at the last check, was not renewed since and has no lock now goes back, to be taken next, or to failed when it
-- stalled too often. So does what was taken longer ago than a job may run, renewed lock or not.
-- ARGV: how often a job may stall, interval ms, tombstone ms, longest run in ms (0: any).
-- Returns { back, failed, ms until the next check, how many of them ran too long }; back is -1 when it is too early.
local max, interval, tombstone_ms, max_run = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local left = call('PTTL', B .. 'stalled-check')
if left ~= -2 then
  return { -1, 0, left, 0 }
end
local now = now_ms()
call('SET', B .. 'stalled-check', string.format('%.0f', now), 'PX', interval)
local ids = call('SPOP', B .. 'stalled', 2000)
local locks, failed, list, back, overrun = {}, 0, nil, 0, 0
for i = 1, #ids do
  locks[i] = B .. ids[i] .. ':lock'
end

local function stall(id, key)
  local stalls = count_stall(key)
  if not stalls then
    fail_ghost(id, 'job data missing', now)
    failed = failed + 1
  elseif stalls > max then
    fail_stalled(id, key, now, tombstone_ms)
    failed = failed + 1
  else
    list = list or target()
    call('RPUSH', list, id)
    call('PUBLISH', B .. 'stalled@', id)
    back = back + 1
  end
end

local holders = #ids > 0 and call('MGET', unpack(locks)) or {}
for i = 1, #ids do
  if not holders[i] and call('LREM', B .. 'active', 1, ids[i]) > 0 then
    stall(ids[i], B .. ids[i])
  end
end
if max_run > 0 then -- the oldest stand at the right; hosts' clocks wrote the times of Bull's workers
  local oldest, young = call('LRANGE', B .. 'active', -1000, -1), 0
  for i = #oldest, 1, -1 do
    local id, key = oldest[i], B .. oldest[i]
    local since = redis.pcall('HGET', key, 'processedOn')
    since = type(since) == 'string' and tonumber(since)
    if since and now - since > max_run then
      call('DEL', key .. ':lock')
      if call('LREM', B .. 'active', -1, id) > 0 then
        overrun = overrun + 1
        stall(id, key)
      end
    else
      young = young + 1
      if young > 50 then
        break
      end
    end
  end
end
local active = call('LRANGE', B .. 'active', 0, -1)
for i = 1, #active, 5000 do
  call('SADD', B .. 'stalled', unpack(active, i, math.min(i + 4999, #active)))
end
return { back, failed, interval, overrun }
