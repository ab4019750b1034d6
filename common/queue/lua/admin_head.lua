-- admin_head: behind head in front of the scripts of administration.
-- Names of the queue's own keys and channels: never ids of jobs.
local own = {}
for name in string.gmatch('id wait waiting paused resumed meta-paused meta active delayed priority completed failed stalled '
  .. 'stalled-check limiter repeat de drained duplicated debounced progress metrics lock logs dray', '%S+') do
  own[name] = true
end

-- May this be the id of a job? Of ids with a colon only those that Bull gives to repeated jobs: a queue NAME:x has its
-- keys below this queue's base.
local function may_be_id(id)
  if string.find(id, ':', 1, true) then
    return string.find(id, '^repeat:[^:]+:%d+$') ~= nil
  end
  return id ~= '' and not own[id]
end

local function is_locked(id)
  return call('EXISTS', B .. id .. ':lock') == 1
end

local function is_job(id)
  return may_be_id(id) and call('TYPE', B .. id).ok == 'hash'
end

-- Where a job stands, in the order in which Bull looks; 'stuck': nowhere.
local function state_of(id)
  for _, set in ipairs({ 'completed', 'failed', 'delayed' }) do
    if call('ZSCORE', B .. set, id) then
      return set
    end
  end
  for _, list in ipairs({ 'active', 'wait', 'paused' }) do
    if call('LPOS', B .. list, id) then
      return list
    end
  end
  return 'stuck'
end

-- What hangs on a job beside its hash and log, while its hash is there: the debounce key, when it is this job's (it
-- outlives a finished job that is swept), and what a limiter noted about it.
local function unhook(id, is_swept)
  local deid = not is_swept and call('HGET', B .. id, 'deid')
  if deid and redis.pcall('GET', B .. 'de:' .. deid) == id then
    call('DEL', B .. 'de:' .. deid)
  end
  local index = B .. 'limiter:index'
  local limited = call('HGET', index, id)
  if limited then
    if string.sub(limited, 1, #B + 8) == B .. 'limiter:' then
      redis.pcall('SREM', limited, id)
    end
    call('HDEL', index, id)
  end
end

local function is_lifo(opts)
  if not opts or not string.find(opts, '"lifo"', 1, true) then
    return false
  end
  local ok, o = pcall(cjson.decode, opts)
  return ok and type(o) == 'table' and o.lifo == true
end

-- The next one of a repeated job must not go along with others: nobody would add the one after it.
local function is_next_repeat(id)
  return string.find(id, '^repeat:') ~= nil and call('EXISTS', B .. 'repeat') == 1
end
