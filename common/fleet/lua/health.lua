#!lua flags=allow-oom
-- health: what the fleet knows of one destination: may anybody send to it now? KEYS[1] is "PREFIX:dray:", ARGV: the
-- destination, what is asked or told, our token, and then:
--   look                                  nothing: how is it?
--   pause ms                              it wants to be left alone
--   open why failing_ms opens             here it has failed too often (for failing_ms; opens: at least so often before)
--   probe lease_ms                        may we try it? For so long nobody else may
--   unprobe                               there was nothing to try it with
--   ok                                    our try worked
--   bad why                               it did not
--   disable why | enable                  until a person says otherwise
-- and last, of every one: open_min_ms open_max_ms ramp_ms disable_ms (0: never).
-- <dest>:health is a hash: state (open, probing, disabled; closed), until (ms: when a probe may be asked for, or its lease
-- ends), opens (in a row), by (token of who probes), since (ms: no success since), warned (percent of disable_ms told),
-- closed (ms: since when it is well again), why. <dest>:pause is there while it wants to be left alone.
-- Every change is published as what is answered here: { granted, text }; text: "dest state left_ms pause_ms ramp_ms opens
-- failing_ms percent change why": what is left of each, by Redis' clock; change: the number of the last one.
local call = redis.call
local B, dest, op, token = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local open_min, open_max, ramp, limit = tonumber(ARGV[#ARGV - 3]), tonumber(ARGV[#ARGV - 2]), tonumber(ARGV[#ARGV - 1]),
  tonumber(ARGV[#ARGV])
local key, pause = B .. 'dest:' .. dest .. ':health', B .. 'dest:' .. dest .. ':pause'
local t = call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local KEEP_MS, WELL_MS = 30 * 86400 * 1000, 600 * 1000

local kind = call('TYPE', key).ok
if kind ~= 'hash' and kind ~= 'none' then -- a stranger's: nothing is known
  call('DEL', key)
end
local names = { 'state', 'until', 'opens', 'by', 'since', 'warned', 'closed', 'why' }
local found, h = call('HMGET', key, unpack(names)), {}
for i = 1, #names do
  h[names[i]] = found[i] or nil
end
local state = h.state or 'closed'
local due, opens, since = tonumber(h['until']) or 0, tonumber(h.opens) or 0, tonumber(h.since)
local percent = tonumber(h.warned) or 0
local granted, changed = 0, false

local function text_of(n)
  return string.format('%.0f', n)
end

local function set(ttl_ms, ...)
  call('HSET', key, ...)
  if ttl_ms > 0 then
    call('PEXPIRE', key, text_of(ttl_ms))
  else
    call('PERSIST', key)
  end
  changed = true
end

-- Open for min, twice that, and so on.
local function open(why)
  local ms = open_min
  for _ = 2, math.min(opens, 40) do
    ms = math.min(ms * 2, open_max)
  end
  state, due, h.why = 'open', now + ms, why
  set(KEEP_MS, 'state', 'open', 'until', text_of(due), 'opens', text_of(opens), 'by', '', 'since', text_of(since), 'why',
    why)
end

if due > now + open_max and state == 'open' then -- the clock went back
  due = now + open_max
end
local mine = state == 'probing' and h.by == token
if op == 'pause' then
  local ms = tonumber(ARGV[4])
  if ms > 0 and call('PTTL', pause) < ms then
    call('SET', pause, '1', 'PX', text_of(ms))
    changed = true
  end
elseif op == 'open' then
  if state == 'closed' then
    local closed = tonumber(h.closed)
    opens = math.max(closed and now - closed < ramp and opens + 1 or 1, tonumber(ARGV[6]) or 1)
    since = since or now - tonumber(ARGV[5])
    open(ARGV[4])
    granted = 1
  end
elseif op == 'probe' then
  if (state == 'open' or state == 'probing') and now >= due then
    state, due, granted = 'probing', now + tonumber(ARGV[4]), 1
    set(KEEP_MS, 'state', state, 'until', text_of(due), 'by', token)
  end
elseif op == 'unprobe' then
  if mine then
    state, due = 'open', now
    set(KEEP_MS, 'state', state, 'until', text_of(now), 'by', '')
  end
elseif op == 'ok' then
  if mine then
    state, due, since, percent, h.closed, h.why, granted = 'closed', 0, nil, 0, text_of(now), '-', 1
    call('DEL', key)
    set(WELL_MS, 'state', state, 'closed', text_of(now), 'opens', text_of(opens))
  end
elseif op == 'bad' then
  if mine then
    opens, since = opens + 1, since or now
    local done = limit > 0 and 100 * (now - since) / limit or 0
    local step = done >= 100 and 100 or done >= 90 and 90 or done >= 70 and 70 or done >= 50 and 50 or 0
    granted = 1
    if step > percent then
      percent, granted = step, step
      call('HSET', key, 'warned', text_of(step))
    end
    open(ARGV[4])
    if step == 100 then
      state, h.why = 'disabled', ARGV[4]
      set(0, 'state', state, 'by', '')
    end
  end
elseif op == 'disable' then
  if state ~= 'disabled' then
    state, h.why, granted = 'disabled', ARGV[4], 1
    set(0, 'state', state, 'why', ARGV[4], 'by', '', 'since', text_of(since or now))
  end
elseif op == 'enable' then
  if call('DEL', key, pause) > 0 then
    granted = state == 'disabled' and 1 or 0
    state, due, opens, since, percent, h.closed, h.why, changed = 'closed', 0, 0, nil, 0, nil, '-', true
  end
end

local closed = tonumber(h.closed)
local count = redis.pcall(changed and 'INCR' or 'GET', B .. 'dests')
if type(count) == 'table' then -- a stranger's
  call('SET', B .. 'dests', 1)
  count = 1
end
local text = table.concat({ dest, state, text_of(math.max(0, due - now)), text_of(math.max(0, call('PTTL', pause))),
  text_of(state == 'closed' and closed and math.max(0, math.min(ramp, closed + ramp - now)) or 0), text_of(opens),
  text_of(since and math.max(0, now - since) or 0), text_of(percent), tostring(count or 0), h.why or '-' }, ' ')
if changed then
  call('PUBLISH', B .. 'dests', text)
end
return { granted, text }
