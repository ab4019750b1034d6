-- help: what several scripts do. take and settle need it rarely: they make these functions when they do, because to make
-- them takes longer than most of what a call does.
-- Redis' own clock in ms.
local function now_ms()
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- The list where jobs wait: its left end takes new ones, its right end is served.
local function target()
  if call('EXISTS', B .. 'meta-paused') == 1 then
    return B .. 'paused'
  end
  return B .. 'wait'
end

-- One more stall of the job: how many there were, nil when its key is no hash.
local function count_stall(key)
  if call('TYPE', key).ok ~= 'hash' then
    return nil
  end
  local n = redis.pcall('HINCRBY', key, 'stalledCounter', 1)
  if type(n) ~= 'number' then -- what stood there was no number
    n = 1
    call('HSET', key, 'stalledCounter', n)
  end
  return n
end

-- What the hash says of the job's priority: 0 (none) to 2^53.
local function priority_of(text)
  local n = tonumber(text)
  return n and n > 0 and math.min(n, 2 ^ 53) or 0
end

-- As Bull places a job with a priority: behind its equals, ahead of all lower ones. Returns how far it had to walk.
local function push_by_priority(list, id, priority)
  call('ZADD', B .. 'priority', priority, id)
  local ahead = call('ZCOUNT', B .. 'priority', 0, priority) - 1
  if ahead <= 0 then
    call('RPUSH', list, id)
    return 1
  end
  if ahead <= 1000 then
    local tail = call('LRANGE', list, -ahead, -1)
    call('LTRIM', list, 0, -ahead - 1)
    call('RPUSH', list, id, unpack(tail))
    return ahead
  end
  local len = call('LLEN', list)
  call('LINSERT', list, 'BEFORE', call('LINDEX', list, math.max(0, len - ahead)) or '', id)
  return len
end

-- A waiting id that cannot be a job goes to failed, where a person sees it. Where its key is no hash, or is one of the
-- queue's own, a job of another id tells of it.
local function fail_ghost(id, reason, now)
  local names = ' id wait paused meta-paused meta active delayed priority completed failed stalled stalled-check limiter '
    .. 'limiter:index limiter:limited metrics:completed metrics:failed repeat dray:gone dray:tick dray:took '
    .. 'dray:lease dray:epoch dray:hold dray:proto dray:members dray:seen dray:ids dray:ids:old dray:ids:at '
  local key, data = B .. id, '{}'
  local kind = call('TYPE', key).ok
  if id == '' or #id > 256 or string.find(names, ' ' .. id .. ' ', 1, true) or kind ~= 'none' and kind ~= 'hash' then
    reason = reason .. ': the key of this id is no job (' .. kind .. ')'
    data = cjson.encode({ id = string.sub(id, 1, 256) })
    id = 'ghost-' .. redis.sha1hex(id)
    key = B .. id
    redis.pcall('ZREM', B .. 'failed', id)
  end
  call('HSETNX', key, 'name', '__default__')
  call('HSETNX', key, 'data', data)
  call('HSETNX', key, 'opts', '{}')
  call('HSETNX', key, 'timestamp', string.format('%.0f', now))
  call('HSET', key, 'failedReason', reason, 'finishedOn', string.format('%.0f', now))
  call('ZADD', B .. 'failed', now, id)
  call('PUBLISH', B .. 'failed', '{"jobId":' .. cjson.encode(id) .. ',"val":' .. cjson.encode(reason) .. '}')
end

-- Deletes finished jobs. Ids that a client chose (Bull's own are numbers) stay known in dray:gone until it forgets
-- them, so that adding one again is seen as a repetition.
local function forget(ids, now, tombstone_ms)
  local keys, gone, until_ms = {}, {}, nil
  for i = 1, #ids do
    local id = ids[i]
    local key = B .. id
    keys[2 * i - 1] = key
    keys[2 * i] = key .. ':logs'
    if tombstone_ms > 0 and ((string.byte(id) or 0) > 57 or not string.find(id, '^%d+$')) then
      until_ms = until_ms or string.format('%.0f', now + tombstone_ms)
      gone[#gone + 1] = until_ms
      gone[#gone + 1] = id
    end
  end
  if #keys > 0 then
    call('DEL', unpack(keys))
  end
  if #gone > 0 then
    call('ZADD', B .. 'dray:gone', unpack(gone))
    call('PEXPIRE', B .. 'dray:gone', 2 * tombstone_ms)
    local old = call('ZRANGEBYSCORE', B .. 'dray:gone', '-inf', now, 'LIMIT', 0, 2 * #ids)
    if #old > 0 then
      call('ZREM', B .. 'dray:gone', unpack(old))
    end
  end
end

-- Deletes from the finished set what is too old (age in ms, 0: never) or too much (count, -1: all may stay), at most
-- budget jobs. Returns how many.
local function trim(set, count, age, now, budget, tombstone_ms)
  local doomed = {}
  if age > 0 then
    doomed = call('ZRANGEBYSCORE', set, '-inf', now - age, 'LIMIT', 0, budget)
  end
  if count >= 0 and #doomed < budget then
    local over = math.min(call('ZCARD', set) - count, budget)
    if over > #doomed then
      doomed = call('ZRANGE', set, '0', over - 1)
    end
  end
  if #doomed > 0 then
    call('ZREM', set, unpack(doomed))
    forget(doomed, now, tombstone_ms)
  end
  return #doomed
end
