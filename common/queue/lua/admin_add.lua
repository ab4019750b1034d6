-- admin_add: one job with all that Bull knows. It stands behind head without head's first line: a full Redis refuses it.
-- ARGV: token, id or "", name, data, opts (JSON, without a timestamp when the next is ""), timestamp or "", delay ms,
-- priority, "LPUSH" or "RPUSH", debounce id or "", debounce ttl or "".
-- Returns { 1 added, 0 duplicate, -1 debounced; the id of the job that is there now }.
local token, id, name, data, opts, stamp = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local delay, priority, deid, ttl = tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[10], ARGV[11]
local counter = call('INCR', B .. 'id')
if id ~= '' then
  if call('EXISTS', B .. id) == 1 then
    call('PUBLISH', B .. 'duplicated@' .. token, id)
    return { 0, id }
  end
else
  while call('EXISTS', B .. string.format('%.0f', counter)) == 1 do -- somebody chose a number as an id
    counter = call('INCR', B .. 'id')
  end
  id = string.format('%.0f', counter)
end
if stamp == '' then
  stamp = string.format('%.0f', now_ms())
  opts = string.sub(opts, 1, -2) .. ',"timestamp":' .. stamp .. '}'
end
local key, dekey = B .. id, B .. 'de:' .. deid
if deid ~= '' then
  local first
  if ttl ~= '' then
    first = call('SET', dekey, id, 'PX', ttl, 'NX')
  else
    first = call('SET', dekey, id, 'NX')
  end
  if not first then
    local old = call('GET', dekey)
    call('PUBLISH', B .. 'debounced@' .. token, old)
    return { -1, old }
  end
end
call('HSET', key, 'name', name, 'data', data, 'opts', opts, 'timestamp', stamp, 'delay', ARGV[7], 'priority', ARGV[8])
if deid ~= '' then
  call('HSET', key, 'deid', deid)
end

local function place()
  if delay > 0 then
    local due = tonumber(stamp) + delay
    call('ZADD', B .. 'delayed', due * 4096 + counter % 4096, id)
    call('PUBLISH', B .. 'delayed', string.format('%.0f', due))
    return
  end
  if priority > 0 then
    push_by_priority(target(), id, priority)
  else
    call(ARGV[9], target(), id)
  end
  call('PUBLISH', B .. 'waiting@' .. token, id)
end

local ok, problem = pcall(place)
if not ok then -- a key of the queue is of another kind: leave no hash without a place
  call('DEL', key)
  redis.pcall('ZREM', B .. 'priority', id)
  if deid ~= '' then
    call('DEL', dekey)
  end
  return type(problem) == 'table' and problem or redis.error_reply('ERR ' .. tostring(problem))
end
redis.pcall('ZREM', B .. 'dray:gone', id)
return { 1, id }
