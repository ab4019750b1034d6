-- counts: { wait, active, delayed, paused, completed, failed, age of the job that is next, lateness of the delayed
-- job that is due first, is paused }, times in ms.
local now = now_ms()
local paused = call('EXISTS', B .. 'meta-paused')
local age, late = 0, 0
local next_id = call('LINDEX', B .. (paused == 1 and 'paused' or 'wait'), -1)
if next_id then
  local job = redis.pcall('HMGET', B .. next_id, 'timestamp')
  local timestamp = not job.err and tonumber(job[1])
  age = timestamp and math.max(0, now - timestamp) or 0
end
local first = call('ZRANGE', B .. 'delayed', 0, 0, 'WITHSCORES')
if first[2] then
  late = math.max(0, now - math.floor(tonumber(first[2]) / 4096))
end
return { call('LLEN', B .. 'wait'), call('LLEN', B .. 'active'), call('ZCARD', B .. 'delayed'),
  call('LLEN', B .. 'paused'), call('ZCARD', B .. 'completed'), call('ZCARD', B .. 'failed'), age, late, paused }
