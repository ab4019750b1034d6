-- admin_clean: removes jobs of one state, oldest first, that are older than some ms; walks at most so many a call.
-- ARGV: state, age ms (-1: whatever their age), how many may go, how many to look at, how many to leave out at the old
-- end, "1" to count only, tombstone ms.
-- Returns { removed, left alone, looked at and still there, all that are there }.
local state, age, most, max = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local first, dry, tombstone_ms = tonumber(ARGV[5]), ARGV[6] == '1', tonumber(ARGV[7])
local now, key = now_ms(), B .. state
local is_list = state == 'wait' or state == 'paused' or state == 'active'
local size = call(is_list and 'LLEN' or 'ZCARD', key)
local mark = 'dray:removed' -- stands for an entry of a list until all go at once

local is_finished = state == 'completed' or state == 'failed' -- their scores are the times

-- Oldest first: the right end of a list, the low end of a set.
local function look()
  if is_finished and age >= 0 then
    return call('ZRANGEBYSCORE', key, '-inf', '(' .. string.format('%.0f', now - age), 'LIMIT', first, max)
  end
  if not is_list then
    return call('ZRANGE', key, first, first + max - 1)
  end
  local ids, turned = call('LRANGE', key, -first - max, -first - 1), {}
  for i = #ids, 1, -1 do
    turned[#turned + 1] = ids[i]
  end
  return turned
end

-- Last begun, or added; what does not say when is old.
local function is_old(id)
  if age < 0 or is_finished then
    return true
  end
  local times = redis.pcall('HMGET', B .. id, 'finishedOn', 'processedOn', 'timestamp')
  local time = not times.err and (tonumber(times[1]) or tonumber(times[2]) or tonumber(times[3]))
  return not time or time < now - age
end

local ids = look()
local doomed, skipped, seen, holders = {}, 0, 0, {}
if #ids > 0 then
  local locks = {}
  for i = 1, #ids do
    locks[i] = B .. ids[i] .. ':lock'
  end
  holders = call('MGET', unpack(locks))
end
for i = 1, #ids do
  if #doomed >= most then
    break
  end
  local id = ids[i]
  seen = seen + 1
  if is_old(id) then
    if holders[i] or (state == 'delayed' and is_next_repeat(id)) then
      skipped = skipped + 1
    else
      doomed[#doomed + 1] = id
      if is_list and not dry then
        call('LSET', key, -first - i, mark)
      end
    end
  end
end
if dry or #doomed == 0 then
  return { #doomed, skipped, seen, size }
end
if is_list then
  call('LREM', key, -#doomed, mark)
else
  call('ZREM', key, unpack(doomed))
end
call('ZREM', B .. 'priority', unpack(doomed))
call('SREM', B .. 'stalled', unpack(doomed))
local jobs = {}
for i = 1, #doomed do
  if is_job(doomed[i]) then
    unhook(doomed[i], is_finished)
    jobs[#jobs + 1] = doomed[i]
  end
end
forget(jobs, now, tombstone_ms)
return { #doomed, skipped, seen - #doomed, size }
