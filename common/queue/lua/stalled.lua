-- stalled: Bull's check for active jobs without a lock, throttled for all clients by stalled-check. What was active
-- at the last check, was not renewed since and has no lock now goes back, to be taken next, or to failed when it
-- stalled too often. ARGV: how often a job may stall, interval ms, tombstone ms.
-- Returns { back, failed, ms until the next check }; back is -1 when it is too early.
local max, interval, tombstone_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local left = call('PTTL', B .. 'stalled-check')
if left ~= -2 then
  return { -1, 0, left }
end
local now = now_ms()
local stamp = string.format('%.0f', now)
call('SET', B .. 'stalled-check', stamp, 'PX', interval)
local ids = call('SPOP', B .. 'stalled', 2000)
local locks, failed, list, back = {}, 0, nil, 0
for i = 1, #ids do
  locks[i] = B .. ids[i] .. ':lock'
end

local function fail(id, key)
  local job = call('HMGET', key, 'opts', 'deid')
  if job[2] and call('PTTL', B .. 'de:' .. job[2]) < 0 then
    call('DEL', B .. 'de:' .. job[2])
  end
  call('ZADD', B .. 'failed', now, id)
  call('HSET', key, 'failedReason', 'job stalled more than allowable limit', 'finishedOn', stamp)
  call('PUBLISH', B .. 'failed', '{"jobId":' .. cjson.encode(id) .. ', "val": "job stalled more than maxStalledCount"}')
  local ok, opts = pcall(cjson.decode, job[1] or '{}')
  local keep = ok and type(opts) == 'table' and opts.removeOnFail
  if keep == true or keep == 0 then
    call('ZREM', B .. 'failed', id)
    forget({ id }, now, tombstone_ms)
  elseif type(keep) == 'number' then
    trim(B .. 'failed', keep, 0, now, 10, tombstone_ms)
  elseif type(keep) == 'table' then
    trim(B .. 'failed', tonumber(keep.count) or -1, (tonumber(keep.age) or 0) * 1000, now, 10, tombstone_ms)
  end
end

local holders = #ids > 0 and call('MGET', unpack(locks)) or {}
for i = 1, #ids do
  local id, key = ids[i], B .. ids[i]
  if not holders[i] and call('LREM', B .. 'active', 1, id) > 0 then
    local kind = call('TYPE', key).ok
    if kind ~= 'hash' then
      fail_ghost(id, 'job data missing', now)
      failed = failed + 1
    elseif call('HINCRBY', key, 'stalledCounter', 1) > max then
      fail(id, key)
      failed = failed + 1
    else
      list = list or target()
      call('RPUSH', list, id)
      call('PUBLISH', B .. 'stalled@', id)
      back = back + 1
    end
  end
end
local active = call('LRANGE', B .. 'active', 0, -1)
for i = 1, #active, 5000 do
  call('SADD', B .. 'stalled', unpack(active, i, math.min(i + 4999, #active)))
end
return { back, failed, interval }
