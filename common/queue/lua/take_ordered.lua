-- take_ordered: take for a queue with one processor, who holds its lease. What stands in active without an owner comes
-- to stand in front first, in its order, and nothing is taken past a job that somebody else has in hand, nor past a
-- held one before it is due. Locks last as long as the lease.
-- ARGV: token, lease, lock ms, max jobs, max bytes of data in all (one job is always taken), max bytes of one job, how
-- often a job may stall, tombstone ms, longest run in ms (0: any), and Bull's limiter: jobs (0: none), ms, "1": by group;
-- "1" if there are no replicas; " id id " as take has it; then id in hand... Of what we have locked beside these nobody knows (an answer was lost): it goes back uncounted. Of
-- what has no lock, or was begun by others too long ago, the oldest counts a stall.
-- Returns { 0 open, 1 paused, 2 held, 3 blocked, 4 over the limiter's limit, -1 the lease is not ours; ms; held id,
-- blocking token or present lease; requeued; failed as stalled; ids that went to failed; marks as of take; id... }; the ids are left in
-- <base>dray:took as by take. Over the limit nothing is put off as Bull puts it off: the first waits, and all behind it.
local token, lease, lock_ms, max, max_bytes, job_max = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]),
  tonumber(ARGV[5]), tonumber(ARGV[6])
local max_stalled, tombstone_ms, max_run = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local limit, window_ms, by_group = tonumber(ARGV[10]), tonumber(ARGV[11]), ARGV[12] == '1'
local alone, known = ARGV[13], ARGV[14]
local wait, active, took = B .. 'wait', B .. 'active', B .. 'dray:took'
local there = call('GET', B .. 'dray:lease') or ''
if there ~= lease then
  call('DEL', took)
  return { -1, 0, there, 0, 0, 0, '' }
end
local stamp = clock()
local now = tonumber(stamp)
local lease_left = call('PTTL', B .. 'dray:lease')
if lease_left >= 0 then
  lock_ms = math.max(1, lease_left)
end
local in_hand = {}
for i = 15, #ARGV do
  in_hand[ARGV[i]] = true
end
local requeued, failed, ghosts = 0, 0, 0

-- What in active is not ours and in hand. Returns false; or who owns one, and for how long.
local function tend_active(ids, first)
  -- A renewed lock is no proof of life. Hosts' clocks wrote the times of Bull's workers.
  local function is_overrun(id)
    local since = max_run > 0 and redis.pcall('HGET', B .. id, 'processedOn')
    since = type(since) == 'string' and tonumber(since)
    return since and now - since > max_run
  end
  local ownerless, first_stalled = {}, nil -- { id, locked by us }, oldest first
  while #ids > 0 do
    local locks = {}
    for i = 1, #ids do
      locks[i] = B .. ids[i] .. ':lock'
    end
    local holders = call('MGET', unpack(locks))
    for i = #ids, 1, -1 do
      if holders[i] and holders[i] ~= token and is_overrun(ids[i]) then
        call('DEL', locks[i])
        ownerless[#ownerless + 1] = { ids[i], false }
      elseif holders[i] and holders[i] ~= token then
        local left = call('PTTL', locks[i])
        return holders[i], left >= 0 and left or lock_ms
      elseif not holders[i] or not in_hand[ids[i]] then
        ownerless[#ownerless + 1] = { ids[i], holders[i] and true }
      end
    end
    first = first - 1000
    ids = call('LRANGE', active, first - 999, first)
  end
  for i = 1, #ownerless do
    first_stalled = first_stalled or not ownerless[i][2] and i
  end
  local list = #ownerless > 0 and help().target()
  for i = #ownerless, 1, -1 do
    local id, ours = ownerless[i][1], ownerless[i][2]
    local key = B .. id
    local kind = call('TYPE', key).ok
    call('LREM', active, -1, id)
    if ours then
      call('DEL', key .. ':lock')
    end
    if kind ~= 'hash' then
      help().fail_ghost(id, 'job data missing', now)
      ghosts = ghosts + 1
    else
      local stalls = i == first_stalled and help().count_stall(key) or tonumber(call('HGET', key, 'stalledCounter')) or 0
      if stalls > max_stalled and not ours then
        help().fail_stalled(id, key, now, tombstone_ms)
        failed = failed + 1
      else
        help().put_in_front(list, id)
        if not ours then
          call('PUBLISH', B .. 'stalled@', id)
        end
        requeued = requeued + 1
      end
    end
    call('SREM', B .. 'stalled', id)
  end
  return false
end

local there_now = call('LRANGE', active, -1000, -1)
if #there_now > 0 then
  local owner, owned_ms = tend_active(there_now, -1)
  if owner then
    call('DEL', took)
    return { 3, owned_ms, owner, 0, 0, 0, '' }
  end
end
if call('EXISTS', B .. 'meta-paused') == 1 then
  call('DEL', took)
  return { 1, 0, '', requeued, failed, ghosts, '' }
end

local hold = redis.pcall('GET', B .. 'dray:hold') -- "DUE ID"
local due, held_id = string.match(type(hold) == 'string' and hold or '', '^(%d+) (.*)$')
due = tonumber(due) or 0
if due <= now then
  held_id = nil
end
local state, state_ms, state_who = 0, 0, ''
local taken, dealt, bytes, new = {}, 0, 0, {}

-- Bull's limiter. Its keys may be something else: then it stops nobody. Two functions: how long the job has to wait; it starts.
local function make_limiter()
  local function window_of(id)
    return B .. 'limiter' .. (by_group and ':' .. (string.match(id, '[^:]+$') or '') or '')
  end
  local function ms_until_allowed(id)
    local window = window_of(id)
    local n = redis.pcall('GET', window)
    n = type(n) == 'string' and tonumber(n) or 0
    if n < limit then
      return 0
    end
    local left = call('PTTL', window)
    if left == -1 then
      call('PEXPIRE', window, window_ms)
    end
    return left > 0 and left or window_ms
  end
  local function count_start(id)
    local window = window_of(id)
    if redis.pcall('INCR', window) == 1 or call('PTTL', window) == -1 then
      call('PEXPIRE', window, window_ms)
    end
    redis.pcall('SREM', window .. ':limited', id) -- Bull's workers had put it off
    redis.pcall('HDEL', B .. 'limiter:index', id)
  end
  return ms_until_allowed, count_start
end
local ms_until_allowed, count_start
if limit > 0 then
  ms_until_allowed, count_start = make_limiter()
end
local ids = max > 0 and call('LRANGE', wait, -max, -1) or {}

-- A lock stands there already: may it become ours now? Otherwise nothing is taken from here on.
local function relock(id)
  local key = B .. id .. ':lock'
  local holder = call('GET', key)
  local left = holder and call('PTTL', key)
  if holder == token and (in_hand[id] or new[id]) then
    return false -- the id stands in the queue twice: the first comes to its end before
  elseif holder and holder ~= token and left ~= -1 then
    state, state_ms, state_who = 3, math.max(0, left), holder
    return false
  end
  call('SET', key, token, 'PX', lock_ms)
  return true
end

for i = #ids, 1, -1 do
  local id = ids[i]
  if id == held_id then
    state, state_ms, state_who = 2, due - now, id
    break
  end
  local size = redis.pcall('HSTRLEN', B .. id, 'data')
  if type(size) ~= 'number' or size == 0 then
    help().fail_ghost(id, 'job data missing', now)
    ghosts = ghosts + 1
  elseif size > job_max then
    help().fail_ghost(id, 'job data too large', now)
    ghosts = ghosts + 1
  elseif string.find(id, '%z') then
    help().fail_ghost(id, 'job id with a NUL byte', now)
    ghosts = ghosts + 1
  elseif bytes + size > max_bytes and #taken > 0 then
    break
  else
    local limited_ms = limit > 0 and ms_until_allowed(id) or 0
    if limited_ms > 0 then
      state, state_ms = 4, limited_ms
      break
    end
    if not call('SET', B .. id .. ':lock', token, 'NX', 'PX', lock_ms) and not relock(id) then
      break
    end
    if limit > 0 then
      count_start(id)
    end
    taken[#taken + 1] = id
    new[id] = true
    bytes = bytes + size
  end
  dealt = dealt + 1
end
if dealt > 0 then
  call('LTRIM', wait, 0, -dealt - 1)
  redis.pcall('ZREM', B .. 'priority', unpack(ids, #ids - dealt + 1))
elseif #ids == 0 and max > 0 then
  call('PUBLISH', B .. 'drained', '')
end
call('DEL', took)
local unread, marks = {}, {}
if #taken > 0 then
  call('LPUSH', active, unpack(taken))
  for i = 1, #taken do
    local first = call('HSET', B .. taken[i], 'processedOn', stamp) == 1
    if first and known ~= '' and string.find(known, ' ' .. taken[i] .. ' ', 1, true) then
      marks[i] = '1'
    else
      marks[i] = '0'
      unread[#unread + 1] = taken[i]
    end
  end
  if #unread > 0 then
    call('RPUSH', took, unpack(unread))
    call('PEXPIRE', took, lock_ms)
  end
  publish_each(B .. 'active@' .. token, taken, alone)
end
return { state, state_ms, state_who, requeued, failed, ghosts, #unread < #taken and table.concat(marks) or '', unpack(taken) }
