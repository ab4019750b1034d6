-- admin_obliterate: the whole queue goes, at most so many jobs a call. ARGV: what, and then:
--   jobs: how many, "1" for active ones too, "1" to count only. Returns { removed, 1 call again }
--   keys: names behind the base, found below it... Removes what belongs to no job that is there; returns { removed }
--   end: removes the queue's own keys last, meta-paused with them. Returns { 0 }, or { 1 } when jobs have come
-- or { -1 } it is not paused, { -2 } jobs are active.
local what = ARGV[1]
local lists, sets = { 'active', 'wait', 'paused' }, { 'delayed', 'completed', 'failed' }
if call('EXISTS', B .. 'meta-paused') == 0 then
  return { -1 }
end

local function size()
  local n = 0
  for i = 1, 3 do
    n = n + call('LLEN', B .. lists[i]) + call('ZCARD', B .. sets[i])
  end
  return n
end

local removes = {}

local function delete(ids)
  for i = 1, #ids do
    local key = B .. ids[i]
    if is_job(ids[i]) then
      unhook(ids[i])
      call('DEL', key)
    end
    call('DEL', key .. ':logs', key .. ':lock')
  end
end

function removes.jobs()
  local max, force, dry = tonumber(ARGV[2]), ARGV[3] == '1', ARGV[4] == '1'
  if not force and call('LLEN', B .. 'active') > 0 then
    return { -2 }
  end
  if dry then
    return { size(), 0 }
  end
  local left = max
  for i = 1, 3 do
    local ids = left > 0 and call('LRANGE', B .. lists[i], 0, left - 1) or {}
    if #ids > 0 then
      delete(ids)
      call('LTRIM', B .. lists[i], #ids, -1)
      left = left - #ids
    end
  end
  for i = 1, 3 do
    local ids = left > 0 and call('ZRANGE', B .. sets[i], 0, left - 1) or {}
    if #ids > 0 then
      delete(ids)
      call('ZREM', B .. sets[i], unpack(ids))
      left = left - #ids
    end
  end
  return { max - left, left == 0 and 1 or 0 }
end

local function stands(id)
  return call('EXISTS', B .. id) == 1 and state_of(id) ~= 'stuck'
end

-- Only what can be this queue's: a queue NAME:x has its keys below this one's base.
local function is_leftover(name, kind)
  local id = kind == 'string' and string.match(name, '^(.*):lock$') or kind == 'list' and string.match(name, '^(.*):logs$')
  if id then
    return may_be_id(id) and not stands(id)
  end
  if kind == 'set' then
    return string.find(name, '^limiter:.*limited$') ~= nil
  end
  if kind == 'hash' then
    return may_be_id(name) and not stands(name)
  end
  local deid = string.match(name, '^de:(.*)$')
  if deid and kind == 'string' and not own[deid] then
    local holder = call('GET', B .. name)
    return not may_be_id(holder) or not stands(holder)
  end
  return false
end

function removes.keys()
  local n = 0
  for i = 2, #ARGV do
    if is_leftover(ARGV[i], call('TYPE', B .. ARGV[i]).ok) then
      n = n + call('DEL', B .. ARGV[i])
    end
  end
  return { n }
end

removes['end'] = function()
  if size() > 0 then
    return { 1 }
  end
  local worked_on = call('EXISTS', B .. 'dray:members', B .. 'dray:lease') > 0
  if not worked_on then
    call('DEL', B .. 'dray:proto', B .. 'dray:epoch', B .. 'dray:seen')
  end
  for name in string.gmatch('wait active paused delayed completed failed priority stalled-check stalled limiter '
    .. 'limiter:limited limiter:index repeat id metrics:completed metrics:completed:data metrics:failed '
    .. 'metrics:failed:data dray:gone dray:hold dray:took dray:ids dray:ids:old dray:ids:at '
    .. 'meta meta-paused', '%S+') do
    call('DEL', B .. name)
  end
  return { 0 }
end

return removes[what]()
