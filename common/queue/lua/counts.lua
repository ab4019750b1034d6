-- counts: { wait, active, delayed, paused, completed, failed, age of the job that is next, lateness of the delayed
-- job that is due first, is paused, for how long a job has been waiting at most or -1 }, times in ms.
-- Of the last: a list is in the order of service, which need not be that of coming (lifo, priorities), so a few jobs along it are
-- looked at. What is not known is left out: a job without timestamp, one that was in hand before (it waits again, since
-- nobody wrote when). In a queue that is paused, or whose next job is on hold, no job waits for a process.
local now = now_ms()
local paused = call('EXISTS', B .. 'meta-paused')
local age, late = 0, 0
local list = B .. (paused == 1 and 'paused' or 'wait')
local next_id = call('LINDEX', list, -1)
if next_id then
  local job = redis.pcall('HMGET', B .. next_id, 'timestamp')
  local timestamp = not job.err and tonumber(job[1])
  age = timestamp and math.max(0, now - timestamp) or 0
end
local first = call('ZRANGE', B .. 'delayed', 0, 0, 'WITHSCORES')
if first[2] then
  late = math.max(0, now - math.floor(tonumber(first[2]) / 4096))
end
local function waited(id)
  local job = redis.pcall('HMGET', B .. id, 'timestamp', 'opts', 'processedOn', 'dray:due')
  local since, taken = not job.err and tonumber(job[1]), not job.err and tonumber(job[3])
  if not since then
    return -1
  end
  local due = tonumber(job[4]) or 0
  if taken and taken >= due then
    return -1
  end
  local delay = not job[4] and tonumber(string.match(job[2] or '', '"delay":%s*(%d+)')) or 0
  return math.max(0, now - math.max(since + delay, due))
end
local length, longest = call('LLEN', B .. 'wait'), -1
if length == 0 then
  longest = 0
elseif paused == 0 and call('EXISTS', B .. 'dray:hold') == 0 then
  local ids = call('LRANGE', list, -3, -1)
  for _, part in ipairs({ 0, 0.25, 0.5, 0.75 }) do
    ids[#ids + 1] = call('LINDEX', list, math.floor(length * part)) or nil
  end
  for _, id in ipairs(ids) do
    longest = math.max(longest, waited(id))
  end
end
return { length, call('LLEN', B .. 'active'), call('ZCARD', B .. 'delayed'), call('LLEN', B .. 'paused'),
  call('ZCARD', B .. 'completed'), call('ZCARD', B .. 'failed'), age, late, paused, longest }
