-- admin_move: makes failed or delayed jobs wait. ARGV: retry | promote, token, then an id; or "", first rank, how many,
-- "1" to count only.
-- Returns for one: 1 done, 0 no such job, -1 locked, -2 not in that set. For many: { done, left alone, looked at and
-- still there, all that are there }.
local retry, token, one = ARGV[1] == 'retry', ARGV[2], ARGV[3]
local first, max, dry = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6] == '1'
local set, channel = B .. (retry and 'failed' or 'delayed'), B .. 'waiting@' .. token
local list, now, walked = target(), string.format('%.0f', now_ms()), 0
local moved = {}

local function move(id)
  if not is_job(id) then
    return 0
  end
  if is_locked(id) then
    return -1
  end
  if not call('ZSCORE', set, id) then
    return -2
  end
  if dry then
    return 1
  end
  local key = B .. id
  local job = call('HMGET', key, 'priority', 'opts')
  local priority = priority_of(job[1])
  call('ZREM', set, id)
  if retry then
    call('HDEL', key, 'finishedOn', 'processedOn', 'failedReason')
    call('HSET', key, 'retriedOn', now)
  else
    call('HSET', key, 'delay', '0')
  end
  if priority > 0 then
    walked = walked + push_by_priority(list, id, priority)
  else
    call(retry and is_lifo(job[2]) and 'RPUSH' or 'LPUSH', list, id)
  end
  moved[#moved + 1] = id
  return 1
end

if one ~= '' then
  local code = move(one)
  publish_each(channel, moved)
  return code
end
local size = call('ZCARD', set)
local ids = call('ZRANGE', set, first, first + max - 1)
local done, skipped = 0, 0
for i = 1, #ids do
  if walked > 200000 then
    break
  end
  if move(ids[i]) == 1 then
    done = done + 1
  else
    skipped = skipped + 1
  end
end
publish_each(channel, moved)
return { done, skipped, dry and done + skipped or skipped, size }
