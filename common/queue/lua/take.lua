-- take: moves up to max jobs from wait to active and locks them, in one step. What can be large stays out of Lua, which
-- hashes every byte: the ids are left in <base>dray:took, for a native command behind this one to read the jobs by.
-- ARGV: token, lock ms, max jobs, and Bull's limiter: jobs (0: none), ms, "1": by group; "1" if there are no replicas;
-- " id id " of jobs that the caller has just added: which of them nobody has begun before it need not read.
-- Returns { ids that went to failed, ms to wait for the limiter, for each id "1" if it need not be read or "0" (none at
-- all: ""), id... }, the job that is next first. Without groups, jobs
-- over the limit stay in wait; with groups they go to delayed, as Bull's do. A job that somebody still holds a lock on
-- comes back through delayed when that lock has run out.
local token, lock_ms, max, alone, known = ARGV[1], ARGV[2], ARGV[3], ARGV[7], ARGV[8]
local limit, window_ms, by_group = 0, nil, ARGV[6] == '1'
local MAX_BYTES, JOB_MAX = 33554432, 16777216 -- data of one answer (one job is always taken); of a job
local took, wait = B .. 'dray:took', B .. 'wait'
local special = call('EXISTS', B .. 'meta-paused', B .. 'priority')
local paused = special > 0 and call('EXISTS', B .. 'meta-paused') or 0
local limiter, left_ms = B .. 'limiter', 0
local started -- jobs in the limiter's window
if ARGV[4] ~= '0' then
  limit, window_ms = tonumber(ARGV[4]), tonumber(ARGV[5])
end
if limit > 0 and not by_group then
  started = tonumber(redis.pcall('GET', limiter) or 0) or 0
  max = string.format('%.0f', math.min(tonumber(max), math.max(0, limit - started)))
  left_ms = call('PTTL', limiter)
  if left_ms == -1 then
    call('PEXPIRE', limiter, window_ms)
    left_ms = window_ms
  end
end
local ids = paused == 0 and max ~= '0' and call('LRANGE', wait, '-' .. max, '-1') or {}
if #ids == 0 then
  call('DEL', took)
  if paused == 0 and max ~= '0' then
    call('PUBLISH', B .. 'drained', '')
  end
  return { 0, max == '0' and left_ms or 0, '' }
end
local stamp = clock()
local taken, ghosts, held, dealt, bytes = {}, {}, {}, 0, 0
local unread, marks = {}, {}

local is_limited
if by_group and limit > 0 then
  -- Bull's limit of the id's group: the delay that Bull would give it, 0 when it may start.
  local function group_delay(id)
    local window = limiter .. ':' .. (string.match(id, '[^:]+$') or '')
    local waiting, delay = window .. ':limited', 0
    local n = tonumber(call('GET', window) or 0) or 0
    if call('SREM', waiting, id) == 1 then
      call('HDEL', limiter .. ':index', id)
    else
      local ahead = call('SCARD', waiting)
      if ahead > 0 then
        delay = ahead * window_ms * 1.1 / limit + math.max(0, call('PTTL', window))
      end
    end
    if delay == 0 and n >= limit then
      delay = math.max(1, call('PTTL', window)) + (n - limit) * window_ms / limit
    end
    if delay > 0 then
      call('ZADD', B .. 'delayed', math.floor(tonumber(stamp) + delay) * 4096 + n % 4096, id)
      call('PUBLISH', B .. 'delayed', string.format('%.0f', tonumber(stamp) + delay))
      call('SADD', waiting, id)
      call('HSET', limiter .. ':index', id, waiting)
    elseif n == 0 then
      call('SET', window, 1, 'PX', window_ms)
    else
      call('INCR', window)
    end
    return delay
  end

  -- A limit that cannot be kept (its keys are something else) stops nobody.
  function is_limited(id)
    local ok, delay = pcall(group_delay, id)
    return ok and delay > 0
  end
end

for i = #ids, 1, -1 do
  local id = ids[i]
  local key = B .. id
  local size = redis.pcall('HSTRLEN', key, 'data')
  if type(size) ~= 'number' or size == 0 then
    ghosts[#ghosts + 1] = { id, 'job data missing' }
  elseif size > JOB_MAX then
    ghosts[#ghosts + 1] = { id, 'job data too large' }
  elseif string.find(id, '\0', 1, true) then
    ghosts[#ghosts + 1] = { id, 'job id with a NUL byte' }
  elseif bytes + size > MAX_BYTES and #taken > 0 then
    break
  elseif not call('SET', key .. ':lock', token, 'PX', lock_ms, 'NX') and not (call('PTTL', key .. ':lock') == -1
    and call('SET', key .. ':lock', token, 'PX', lock_ms)) then -- a lock that never ends is nobody's
    held[#held + 1] = id
  elseif is_limited and is_limited(id) then
    call('DEL', key .. ':lock')
  else
    local first = call('HSET', key, 'processedOn', stamp) == 1
    taken[#taken + 1] = id
    if first and known ~= '' and string.find(known, ' ' .. id .. ' ', 1, true) then
      marks[#taken] = '1'
    else
      marks[#taken] = '0'
      unread[#unread + 1] = id
    end
    bytes = bytes + size
  end
  dealt = dealt + 1
end
if dealt == 1 and #taken == 1 then
  call('LMOVE', wait, B .. 'active', 'RIGHT', 'LEFT')
else
  if #taken > 0 then
    call('LPUSH', B .. 'active', unpack(taken))
  end
  call('LTRIM', wait, '0', -dealt - 1)
end
if special > paused then
  redis.pcall('ZREM', B .. 'priority', unpack(ids, #ids - dealt + 1))
end
if #unread == 0 then
  call('DEL', took)
elseif call('RPUSH', took, unpack(unread)) > #unread then
  call('LTRIM', took, -#unread, '-1')
end
if #taken > 0 then
  publish_each(B .. 'active@' .. token, taken, alone)
  if started then
    if left_ms < 0 then
      call('SET', limiter, #taken, 'PX', window_ms)
    else
      redis.pcall('INCRBY', limiter, #taken)
    end
    if call('EXISTS', limiter .. ':limited') == 1 then -- Bull's workers had put them off
      redis.pcall('SREM', limiter .. ':limited', unpack(taken))
      redis.pcall('HDEL', limiter .. ':index', unpack(taken))
    end
  end
end
for i = 1, #ghosts do
  help().fail_ghost(ghosts[i][1], ghosts[i][2], tonumber(stamp))
end
for i = 1, #held do
  local left = call('PTTL', B .. held[i] .. ':lock')
  local due = tonumber(stamp) + left + 1
  call('ZADD', B .. 'delayed', due * 4096, held[i])
  call('PUBLISH', B .. 'delayed', string.format('%.0f', due))
end
return { #ghosts, 0, #unread < #taken and table.concat(marks) or '', unpack(taken) }
