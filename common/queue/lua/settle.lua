-- settle: ends the holding of jobs; nothing changes unless the token holds the lock.
-- ARGV: token, completed: how many stay (-1: all), tombstone ms; then 5 values a job: op, id, text, extra, keep.
--   c completed: text = JSON return value, extra = the same as a JSON string or "" for none
--   f failed: text = reason, extra = the same as a JSON string
--   r to wait again: extra = "1" for the right end (lifo); R the same, and text counts as a failed attempt
--   d to delayed: extra = delay in ms; D the same, and text counts as a failed attempt
--   h handed back, as if never taken
-- keep: "" or "count,age ms,stack trace limit" from the job's options. Without options, what is beyond the count goes
-- in batches here, and the rest, and what is too old, in the holder's sweep.
-- Returns for each job 0 done, -1 no such job, -2 the lock is not ours.
local token, done_count, tombstone_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local now = now_ms()
local stamp = string.format('%.0f', now)
local n = (#ARGV - 3) / 5
local locks, codes, unlock, left, removed, trims = {}, {}, {}, {}, {}, {}
local sets = { c = {}, f = {} }
local list

for i = 1, n do
  locks[i] = B .. ARGV[5 * i] .. ':lock'
end
local holders = call('MGET', unpack(locks))

local function count_attempt(key, reason, limit)
  local old = call('HMGET', key, 'attemptsMade', 'stacktrace')
  local made = (tonumber(old[1]) or 0) + 1
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
end

-- finished: set c or f; own: by the job's own options. count 0: the job goes at once, with its traces.
local function finish(set, id, key, own, count, age, field, value)
  if count == 0 then
    removed[#removed + 1] = id
    return
  end
  local members = sets[set]
  members[#members + 1] = now
  members[#members + 1] = id
  call('HSET', key, field, value, 'finishedOn', stamp)
  if own then
    local rule = set .. count .. ',' .. age
    trims[rule] = { set, count, age, ((trims[rule] or {})[4] or 0) + 1 }
  end
end

local function settle(op, id, key, text, extra, keep, deid)
  local own, count, age, limit = false, op == 'c' and done_count or -1, 0, 10
  if keep ~= '' then
    local c, a, l = string.match(keep, '^(%-?%d*),(%d*),(%d*)$')
    own = c ~= ''
    count, age, limit = tonumber(c) or count, tonumber(a) or age, tonumber(l) or limit
  end
  if op == 'c' or op == 'f' then
    if deid and call('PTTL', B .. 'de:' .. deid) < 0 then
      call('DEL', B .. 'de:' .. deid)
    end
    if op == 'c' then
      finish('c', id, key, own, count, age, 'returnvalue', text)
    else
      count_attempt(key, text, limit)
      finish('f', id, key, own, count, age, 'failedReason', text)
    end
    local val = extra ~= '' and ',"val":' .. extra or ''
    call('PUBLISH', B .. (op == 'c' and 'completed' or 'failed'), '{"jobId":' .. cjson.encode(id) .. val .. '}')
    return
  end
  if op == 'D' or op == 'R' then
    count_attempt(key, text, limit)
  end
  if op == 'd' or op == 'D' then
    local low = string.find(id, '^%d+$') and tonumber(id) % 4096 or 0
    local score = (now + tonumber(extra)) * 4096 + low
    call('ZADD', B .. 'delayed', score, id)
    call('PUBLISH', B .. 'delayed', score / 4096)
    return
  end
  list = list or target()
  local priority = tonumber(call('HGET', key, 'priority')) or 0
  if op == 'h' then
    if priority > 0 then
      call('ZADD', B .. 'priority', priority, id)
    end
    call('RPUSH', list, id)
  elseif priority > 0 then
    push_by_priority(list, id, priority)
  else
    call(extra == '1' and 'RPUSH' or 'LPUSH', list, id)
  end
end

for i = 1, n do
  local at = 5 * i - 1
  local op, id, text, extra, keep = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local key = B .. id
  if holders[i] ~= token then
    codes[i] = call('EXISTS', key) == 1 and -2 or -1
  else
    local job = call('HMGET', key, 'processedOn', 'deid')
    local held = call('LREM', B .. 'active', -1, id) > 0
    unlock[#unlock + 1] = locks[i]
    left[#left + 1] = id
    if not job[1] and call('EXISTS', key) == 0 then
      codes[i] = -1
    elseif not held then
      codes[i] = -2
    else
      settle(op, id, key, text, extra, keep, job[2])
      codes[i] = 0
    end
  end
end

if #unlock > 0 then
  call('DEL', unpack(unlock))
  call('SREM', B .. 'stalled', unpack(left))
end
if #sets.c > 0 then
  call('ZADD', B .. 'completed', unpack(sets.c))
end
if #sets.f > 0 then
  call('ZADD', B .. 'failed', unpack(sets.f))
end
forget(removed, now, tombstone_ms)
for _, rule in pairs(trims) do
  if rule[2] >= 0 or rule[3] > 0 then
    trim(B .. (rule[1] == 'c' and 'completed' or 'failed'), rule[2], rule[3], now, 2 * rule[4] + 8, tombstone_ms)
  end
end
if #sets.c > 0 and done_count > 0 then
  local slack = math.min(50, math.floor(done_count / 20))
  if call('ZCARD', B .. 'completed') > done_count + slack then
    trim(B .. 'completed', done_count, 0, now, slack + #sets.c + 8, tombstone_ms)
  end
end
return codes
