-- settle: ends the holding of jobs; nothing changes unless the token holds the lock.
-- ARGV: token, completed: how many stay (-1: all), tombstone ms, points of Bull's metrics (0: none), "1" if there are
-- no replicas; then 5 values a job: op, id, text, extra, keep.
--   c completed: text = JSON return value, extra = the same as a JSON string or "" for none
--   f failed: text = reason, extra = the same as a JSON string
--   r to wait again: extra = "1" for the right end (lifo); R the same, and text counts as a failed attempt
--   d to delayed: extra = delay in ms; D the same, and text counts as a failed attempt
--   (r and d: a text that does not count is kept as the reason)
--   F as D, and when it is due it goes to the right end
--   h handed back, as if never taken
-- keep: "" or "count,age ms,stack trace limit,d" from the job's options, each may be missing; d: it has a debounce id.
-- Without options, what is beyond the count goes in batches here, and the rest, and what is too old, in the holder's
-- sweep.
-- Returns for each job 0 done, -1 no such job, -2 the lock is not ours, -3 its key is no job any more: it went to failed.
local token, done_count, points, alone, FIRST, PER = ARGV[1], ARGV[2], ARGV[4], ARGV[5], 6, 5
local stamp = clock()
local n = (#ARGV - FIRST + 1) / PER
local ids, locks, keys, codes, unlock, left, held = {}, {}, {}, {}, {}, {}, {}
local completed, told, removed = {}, {}, {} -- for ZADD; where in ARGV; ids of those not kept

for i = 1, n do
  ids[i] = ARGV[FIRST + 1 + PER * (i - 1)]
  keys[i] = B .. ids[i]
  locks[i] = keys[i] .. ':lock'
end
local holders = call('MGET', unpack(locks))
local all_exist = call('EXISTS', unpack(keys)) == n

-- The jobs whose locks are ours leave active. Most often they are the oldest ones, at its right end.
if n > 2 then
  local mine = {}
  for i = 1, n do
    if holders[i] == token then
      mine[ids[i]] = true
    end
  end
  local last, tail = call('LRANGE', B .. 'active', -n, '-1'), 0
  while tail < #last and mine[last[#last - tail]] do
    held[last[#last - tail]] = true
    mine[last[#last - tail]] = nil
    tail = tail + 1
  end
  if tail > 0 then
    call('LTRIM', B .. 'active', '0', -tail - 1)
  end
end
for i = 1, n do
  local id = ids[i]
  if holders[i] == token and held[id] == nil then
    held[id] = call('LREM', B .. 'active', '-1', id) > 0
  end
end

-- What is more than to complete a job without options of its own. Returns three functions: one job, metrics, the end.
local function make_slow()
  local failed, told_failed, trims = {}, {}, {}
  local list

  local function now()
    return tonumber(stamp)
  end

  -- Bull's metrics: jobs a minute, the newest first.
  local function collect(name, jobs)
    local points = tonumber(points)
    local key = B .. 'metrics:' .. name
    local before = call('HINCRBY', key, 'count', jobs) - jobs
    local old = call('HMGET', key, 'prevTS', 'prevCount')
    if not old[1] then
      call('HSET', key, 'prevTS', stamp, 'prevCount', 0)
      return
    end
    local minutes = math.min(math.floor(now() / 60000) - math.floor((tonumber(old[1]) or 0) / 60000), points)
    if minutes > 0 then
      local new = { before - (tonumber(old[2]) or 0) }
      for i = 2, minutes do
        new[i] = 0
      end
      for i = 1, minutes, 5000 do
        call('LPUSH', key .. ':data', unpack(new, i, math.min(i + 4999, minutes)))
      end
      call('LTRIM', key .. ':data', 0, points - 1)
      call('HSET', key, 'prevCount', before, 'prevTS', stamp)
    end
  end

  local function count_attempt(key, reason, limit)
    local old = call('HMGET', key, 'attemptsMade', 'stacktrace', 'retriedOn', 'dray:retried')
    local made = tonumber(old[1]) or 0
    made = (made >= 0 and made < 2 ^ 53 and made or 0) + 1
    local ok, trace = pcall(cjson.decode, old[2] or '[]')
    if not ok or type(trace) ~= 'table' or #trace == 0 then
      trace = {}
    end
    trace[#trace + 1] = reason
    while #trace > limit do
      table.remove(trace, 1)
    end
    local written, text = pcall(cjson.encode, trace)
    call('HSET', key, 'failedReason', reason, 'attemptsMade', string.format('%.0f', made), 'stacktrace',
      (written and #trace > 0) and text or '[]')
    if old[3] and string.match(old[4] or '', '^%d+') ~= old[3] then -- the first failure since a manual retry
      call('HSET', key, 'dray:retried', old[3] .. string.format(' %.0f', made - 1))
    end
  end

  -- finished: set c or f; own: by the job's own options. count 0: the job goes at once, with its traces.
  local function finish(set, id, key, own, count, age, field, value)
    if count == 0 then
      removed[#removed + 1] = id
      return
    end
    call('HSET', key, field, value, 'finishedOn', stamp)
    local members = set == 'c' and completed or failed
    members[#members + 1] = stamp
    members[#members + 1] = id
    if own then
      local rule = set .. count .. ',' .. age
      trims[rule] = { set, count, age, ((trims[rule] or {})[4] or 0) + 1 }
    end
  end

  local function retry(op, id, key, extra)
    list = list or help().target()
    local priority = help().priority_of(call('HGET', key, 'priority'))
    if op == 'h' then
      call('HDEL', key, 'processedOn')
      if priority > 0 then
        call('ZADD', B .. 'priority', priority, id)
      end
      call('RPUSH', list, id)
    elseif priority == 0 then
      call(extra == '1' and 'RPUSH' or 'LPUSH', list, id)
    elseif call('ZCARD', B .. 'priority') > 1000 and call('LLEN', list) > 100000 then
      call('ZADD', B .. 'delayed', now() * 4096, id) -- its place is far to walk: the tick finds it
    else
      help().push_by_priority(list, id, priority)
    end
  end

  local function settle_one(at, key)
    local op, id, text, extra, keep = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
    local own, keep_count, age, limit, debounced = false, op == 'c' and tonumber(done_count) or -1, 0, 10, ''
    if keep ~= '' then
      local c, a, l
      c, a, l, debounced = string.match(keep, '^(%-?%d*),(%d*),(%d*),(d?)$')
      own = c ~= ''
      keep_count, age, limit = tonumber(c) or keep_count, tonumber(a) or age, tonumber(l) or limit
    end
    if op == 'c' or op == 'f' then
      local deid = debounced == 'd' and call('HGET', key, 'deid')
      if deid and call('PTTL', B .. 'de:' .. deid) < 0 then
        call('DEL', B .. 'de:' .. deid)
      end
      if op == 'c' then
        finish('c', id, key, own, keep_count, age, 'returnvalue', text)
        told[#told + 1] = at
      else
        count_attempt(key, text, limit)
        finish('f', id, key, own, keep_count, age, 'failedReason', text)
        told_failed[#told_failed + 1] = at
      end
      return
    end
    if op == 'D' or op == 'F' or op == 'R' then
      count_attempt(key, text, limit)
    elseif op ~= 'h' and text ~= '' then
      call('HSET', key, 'failedReason', text)
    end
    if op == 'd' or op == 'D' or op == 'F' then
      local low = string.find(id, '^%d+$') and tonumber(id) % 4096 or 0
      local score = (now() + tonumber(extra)) * 4096 + low
      call('ZADD', B .. 'delayed', score, id)
      call('PUBLISH', B .. 'delayed', score / 4096)
      if op == 'F' then
        call('HSET', key, 'dray:front', '1')
      end
    else
      retry(op, id, key, extra)
    end
  end

  local function finish_all(tell)
    if #told_failed > 0 then
      if points ~= '0' then
        collect('failed', #told_failed)
      end
      tell(B .. 'failed', told_failed)
    end
    if #failed > 0 then
      call('ZADD', B .. 'failed', unpack(failed))
    end
    help().forget(removed, now(), tonumber(ARGV[3]))
    for _, rule in pairs(trims) do
      if rule[2] >= 0 or rule[3] > 0 then
        help().trim(B .. (rule[1] == 'c' and 'completed' or 'failed'), rule[2], rule[3], now(), 2 * rule[4] + 8,
          tonumber(ARGV[3]))
      end
    end
  end
  return settle_one, collect, finish_all
end
local slow, collect, finish_all

for i = 1, n do
  local at = FIRST + PER * (i - 1)
  local id, key = ids[i], keys[i]
  local there = all_exist or call('EXISTS', key) == 1
  if holders[i] ~= token then
    codes[i] = there and -2 or -1
  else
    unlock[#unlock + 1] = locks[i]
    left[#left + 1] = id
    codes[i] = not there and -1 or not held[id] and -2 or 0
    if codes[i] == 0 then
      local ok
      if ARGV[at] == 'c' and ARGV[at + 4] == '' and done_count ~= '0' then
        ok = type(redis.pcall('HSET', key, 'returnvalue', ARGV[at + 2], 'finishedOn', stamp)) == 'number'
        if ok then
          completed[#completed + 1] = stamp
          completed[#completed + 1] = id
          told[#told + 1] = at
        end
      else
        if not slow then
          slow, collect, finish_all = make_slow()
        end
        ok = pcall(slow, at, key)
      end
      if not ok then -- what stands under its key is no job any more: the others go on
        help().fail_ghost(id, 'job data unusable', tonumber(stamp))
        codes[i] = -3
      end
    end
  end
end

local function tell(channel, places)
  for i = 1, #places do
    local id, extra = ARGV[places[i] + 1], ARGV[places[i] + 3]
    local text = '{"jobId":' .. cjson.encode(id) .. (extra ~= '' and ',"val":' .. extra or '') .. '}'
    local receivers = call('PUBLISH', channel, text)
    if i == 1 and is_unheard(receivers, #places, alone) then
      return
    end
  end
end

if #unlock > 0 then
  call('DEL', B .. 'dray:took', unpack(unlock))
  call('SREM', B .. 'stalled', unpack(left))
end
if #told > 0 then
  if points ~= '0' then
    if not collect then
      slow, collect, finish_all = make_slow()
    end
    collect('completed', #told)
  end
  tell(B .. 'completed', told)
end
if #completed > 0 then
  call('ZADD', B .. 'completed', unpack(completed))
end
if finish_all then
  finish_all(tell)
end
if #completed > 0 and done_count ~= '-1' and done_count ~= '0' then
  local most = tonumber(done_count)
  local slack = math.min(50, math.floor(most / 20))
  if (#completed > 8 or most < 200 or string.sub(stamp, -1) == '0') and call('ZCARD', B .. 'completed') > most + slack then
    help().trim(B .. 'completed', most, 0, tonumber(stamp), slack + 8 * #completed + 64, tonumber(ARGV[3]))
  end
end
return codes
