-- take: moves up to max jobs from wait to active and locks them, in one step. What can be large stays out of Lua:
-- the ids are left in <base>dray:took:<token>, for a native command behind this one to read their data by.
-- ARGV: token, lock ms, max. Returns { ghosts, then 7 values a job: id, name, opts, timestamp, attemptsMade,
-- stalledCounter, retriedOn }, the job that is next first. A job that somebody still holds a lock on comes back
-- through delayed when that lock has run out. An id without a job goes to failed.
local token, lock_ms, max = ARGV[1], ARGV[2], tonumber(ARGV[3])
local took = B .. 'dray:took:' .. token
call('DEL', took)
if call('EXISTS', B .. 'meta-paused') == 1 then
  return { 0 }
end
local ids = call('LRANGE', B .. 'wait', -max, -1)
if #ids == 0 then
  call('PUBLISH', B .. 'drained', '')
  return { 0 }
end
local now = now_ms()
local jobs, taken, ghosts, held = { 0 }, {}, {}, {}
for i = #ids, 1, -1 do
  local id = ids[i]
  local key = B .. id
  if redis.pcall('HEXISTS', key, 'data') ~= 1 then
    ghosts[#ghosts + 1] = id
  elseif not call('SET', key .. ':lock', token, 'PX', lock_ms, 'NX') then
    held[#held + 1] = id
  else
    taken[#taken + 1] = id
    local job = call('HMGET', key, 'name', 'opts', 'timestamp', 'attemptsMade', 'stalledCounter', 'retriedOn')
    jobs[#jobs + 1] = id
    for k = 1, 6 do
      jobs[#jobs + 1] = job[k]
    end
  end
end
if #taken > 0 then
  call('LPUSH', B .. 'active', unpack(taken))
  call('RPUSH', took, unpack(taken))
  call('PEXPIRE', took, lock_ms)
end
call('LTRIM', B .. 'wait', 0, -#ids - 1)
call('ZREM', B .. 'priority', unpack(ids))
local channel, stamp = B .. 'active@' .. token, string.format('%.0f', now)
for i = 1, #taken do
  call('HSET', B .. taken[i], 'processedOn', stamp)
  call('PUBLISH', channel, taken[i])
end
for i = 1, #ghosts do
  fail_ghost(ghosts[i], 'job data missing', now)
end
for i = 1, #held do
  local left = call('PTTL', B .. held[i] .. ':lock')
  if left < 0 then
    left = tonumber(lock_ms)
  end
  call('ZADD', B .. 'delayed', (now + left + 1) * 4096, held[i])
  call('PUBLISH', B .. 'delayed', string.format('%.0f', now + left + 1))
end
jobs[1] = #ghosts
return jobs
