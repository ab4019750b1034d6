-- admin_look: reads; changes nothing. ARGV: what, and then:
--   job: id, fields... Returns {} when there is none, else { state, holder of the lock or "", ms the lock lives, lines
--        of log, score in delayed or "", { values of the fields } }
--   finished: id. Returns completed, failed, or "".
--   list: state, start, end, "1" for ascending. Returns ids, of delayed each with its score behind it; of state wait
--        come also those in paused.
--   logs: id, start, end. Returns { lines, how many there are }
--   priorities: numbers... Returns how many waiting jobs have each.
local what = ARGV[1]
local looks = {}

function looks.job()
  local id = ARGV[2]
  if not is_job(id) then
    return {}
  end
  local key = B .. id
  return { state_of(id), call('GET', key .. ':lock') or '', call('PTTL', key .. ':lock'), call('LLEN', key .. ':logs'),
    call('ZSCORE', B .. 'delayed', id) or '', call('HMGET', key, unpack(ARGV, 3)) }
end

function looks.finished()
  for _, set in ipairs({ 'completed', 'failed' }) do
    if call('ZSCORE', B .. set, ARGV[2]) then
      return set
    end
  end
  return ''
end

function looks.logs()
  local key = B .. ARGV[2] .. ':logs'
  return { call('LRANGE', key, ARGV[3], ARGV[4]), call('LLEN', key) }
end

-- Entries first..last of a list, counted from its right end, the right one first; or from its left end.
local function part(list, first, last, asc)
  if not asc then
    return call('LRANGE', list, first, last)
  end
  local ids = call('LRANGE', list, -(last + 1), -(first + 1))
  local turned = {}
  for i = #ids, 1, -1 do
    turned[#turned + 1] = ids[i]
  end
  return turned
end

function looks.list()
  local state, first, last, asc = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5] == '1'
  if state == 'delayed' then
    return call(asc and 'ZRANGE' or 'ZREVRANGE', B .. state, first, last, 'WITHSCORES')
  end
  if state == 'completed' or state == 'failed' then
    return call(asc and 'ZRANGE' or 'ZREVRANGE', B .. state, first, last)
  end
  if state ~= 'wait' then
    return part(B .. state, first, last, asc)
  end
  -- what stands in paused is older than a stray in wait
  local near, far = asc and 'paused' or 'wait', asc and 'wait' or 'paused'
  local ids = part(B .. near, first, last, asc)
  local n = call('LLEN', B .. near)
  if last >= n then
    local more = part(B .. far, math.max(first - n, 0), last - n, asc)
    for i = 1, #more do
      ids[#ids + 1] = more[i]
    end
  end
  return ids
end

function looks.priorities()
  local counts = {}
  for i = 2, #ARGV do
    if tonumber(ARGV[i]) == 0 then
      counts[i - 1] = math.max(0, call('LLEN', target()) - call('ZCARD', B .. 'priority'))
    else
      counts[i - 1] = call('ZCOUNT', B .. 'priority', ARGV[i], ARGV[i])
    end
  end
  return counts
end

return looks[what]()
