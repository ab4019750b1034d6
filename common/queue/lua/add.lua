-- add: the jobs' hashes stand ready as <base>dray:new:<id>, written natively in the same transaction, because Lua
-- hashes every byte that passes through it. Gives each its place, or drops it when its id is or was there.
-- ARGV: token, "1" if there are no replicas, id... Returns for each id 1 added, 0 duplicate, -1 nothing to add.
local call = redis.call
local B, token, alone = KEYS[1], ARGV[1], ARGV[2]
local ids, codes, added = {}, {}, {}
for i = 3, #ARGV do
  ids[i - 2] = ARGV[i]
end
local gone = call('ZMSCORE', B .. 'dray:gone', unpack(ids)) -- the ms at which each is forgotten
local now
for i = 1, #ids do
  if gone[i] and not now then
    local t = call('TIME')
    now = t[1] * 1000 + math.floor(t[2] / 1000)
  end
end
local list = B .. 'wait'
if call('EXISTS', B .. 'meta-paused') == 1 then
  list = B .. 'paused'
end
for i = 1, #ids do
  local id = ids[i]
  local fresh = 0
  if not (gone[i] and tonumber(gone[i]) > now) then
    fresh = redis.pcall('RENAMENX', B .. 'dray:new:' .. id, B .. id)
  end
  if fresh == 1 then
    codes[i] = 1
    added[#added + 1] = id
  elseif fresh == 0 then
    codes[i] = 0
    call('DEL', B .. 'dray:new:' .. id)
    call('PUBLISH', B .. 'duplicated@' .. token, id)
  else -- no hash stands ready: the same id came before in this call, or its hash was refused
    codes[i] = call('EXISTS', B .. id) == 1 and 0 or -1
  end
end
call('INCRBY', B .. 'id', #ids)
if #added > 0 then
  local pushed = redis.pcall('LPUSH', list, unpack(added))
  if type(pushed) == 'table' then -- the list is no list: leave no hash without a place
    for i = 1, #added do
      call('DEL', B .. added[i])
    end
    return pushed
  end
  publish_each(B .. 'waiting@' .. token, added, alone)
end
return codes
