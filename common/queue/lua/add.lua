-- add: the jobs' hashes stand ready as <base>dray:new:<id>, written natively in the same transaction, because Lua
-- hashes every byte that passes through it. Gives each its place, or drops it when its id is or was there.
-- ARGV: token, "1" if there are no replicas, how many, id... Returns for each id 1 added, 0 duplicate, -1 nothing to add.
-- Behind them, where repeated events are looked for: window ms, most digests in a set, and for each id how many, digest...
-- Of a job whose digests are known nothing is stored; its code is a list of their places, from 1. One more code follows
-- then: for how long digests are known at least (ms), or -1: it could not be looked for, and the jobs were added.
-- <base>dray:ids holds the digests of this window, dray:ids:old those of the one before, dray:ids:at "began length".
local call, pcall = redis.call, redis.pcall
local B, token, alone, n = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local ids, codes, added = {}, {}, {}
for i = 1, n do
  ids[i] = ARGV[i + 3]
end
local gone = call('ZMSCORE', B .. 'dray:gone', unpack(ids)) -- the ms at which each is forgotten
local now
local function clock()
  if not now then
    local t = call('TIME')
    now = t[1] * 1000 + math.floor(t[2] / 1000)
  end
  return now
end
local list = B .. 'wait'
if call('EXISTS', B .. 'meta-paused') == 1 then
  list = B .. 'paused'
end

-- ---- digests of events
local window, at = tonumber(ARGV[n + 4]), n + 6 -- at: how many digests the next job has
local known, old, stamp = B .. 'dray:ids', B .. 'dray:ids:old', B .. 'dray:ids:at'
local length, look_back, fresh_set, failed
local kept = {} -- first and last of what was put into the set

local function try(...)
  local r = pcall(...)
  if type(r) == 'table' and r.err then
    failed = true
  end
  return r
end

local function begin()
  local said = try('GET', stamp)
  local began
  if not failed and said then
    began, length = string.match(said, '^(%d+) (%d+)$')
    began, length = tonumber(began), tonumber(length)
  end
  clock()
  local size = try('SCARD', known)
  if failed then
    return
  end
  fresh_set = size == 0
  local late, full = began and now - began >= window, size >= tonumber(ARGV[n + 5])
  if not began or began > now or late or full then
    try('UNLINK', old)
    if size > 0 then -- what was the newest is now the old
      try('RENAME', known, old)
    end
    length = not late and full and began and math.max(now - began, 1) or window
    fresh_set = true
    try('SET', stamp, string.format('%.0f %.0f', now, length), 'PX', string.format('%.0f', 2 * window + 60000))
  end
  length = math.min(length, window)
  look_back = call('EXISTS', old) == 1
end

local function look(key, first, last, hits)
  for from = first, last, 1000 do
    local r = try('SMISMEMBER', key, unpack(ARGV, from, math.min(from + 999, last)))
    for k = 1, #r do
      if r[k] == 1 then
        hits = hits or {}
        hits[#hits + 1] = from - first + k
      end
    end
  end
  return hits
end

local function keep(first, last)
  for from = first, last, 1000 do
    try('SADD', known, unpack(ARGV, from, math.min(from + 999, last)))
  end
  kept[#kept + 1] = { first, last }
  if fresh_set and not failed then
    fresh_set = not try('PEXPIRE', known, string.format('%.0f', 2 * window + 60000))
  end
end

local function forget()
  for i = 1, #kept do
    for from = kept[i][1], kept[i][2], 1000 do
      pcall('SREM', known, unpack(ARGV, from, math.min(from + 999, kept[i][2])))
    end
  end
end

-- The places of the job's digests that are known; nil: none, and they are known from now on.
local function judge(first, last)
  local hits = look(known, first, last)
  if look_back then
    hits = look(old, first, last, hits)
  end
  if not hits and not failed then
    keep(first, last)
  end
  return not failed and hits or nil
end

if window then
  begin()
end
for i = 1, n do
  local id = ids[i]
  local fresh, first, last = 0, nil, nil
  if window then
    first, last = at + 1, at + tonumber(ARGV[at])
    at = last + 1
  end
  if not (gone[i] and tonumber(gone[i]) > clock()) then
    fresh = pcall('RENAMENX', B .. 'dray:new:' .. id, B .. id)
  end
  if fresh == 1 then
    local hits = window and not failed and last >= first and judge(first, last)
    if hits then
      call('DEL', B .. id)
      codes[i] = hits
    else
      codes[i] = 1
      added[#added + 1] = id
    end
  elseif fresh == 0 then
    codes[i] = 0
    call('DEL', B .. 'dray:new:' .. id)
    call('PUBLISH', B .. 'duplicated@' .. token, id)
  else -- no hash stands ready: the same id came before in this call, or its hash was refused
    codes[i] = call('EXISTS', B .. id) == 1 and 0 or -1
  end
end
call('INCRBY', B .. 'id', n)
if #added > 0 then
  local pushed = pcall('LPUSH', list, unpack(added))
  if type(pushed) == 'table' then -- the list is no list: leave no hash without a place
    for i = 1, #added do
      call('DEL', B .. added[i])
    end
    forget()
    return pushed
  end
  publish_each(B .. 'waiting@' .. token, added, alone)
end
if window then
  codes[n + 1] = failed and -1 or length
end
return codes
