-- release: hands back active jobs locked by one token, to be taken next, in their order.
-- ARGV: token, first index of active, how many to look at, how often a job may stall (-1: this is no stall: the token
-- lives), "1" for an ordered queue (only the oldest job counts a stall; what is newer and has no lock any more
-- goes along, or it would come to stand before it), id to leave alone... Returns { released, looked
-- at, 1 if the token's lease was ended }. A job that has now stalled too often loses its lock and stays in active,
-- marked as stalled: the next stalled check, or the next take of an ordered queue, fails it as it fails all others. A
-- dead one's leases and membership end too.
local token, first, max, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local ordered, freed = ARGV[5] == '1', 0
if limit >= 0 then
  local lease = redis.pcall('GET', B .. 'dray:lease')
  if type(lease) == 'string' and string.match(lease, '^(.*)/%d+$') == token then
    freed = call('DEL', B .. 'dray:lease')
  end
  if redis.pcall('GET', B .. 'dray:tick') == token then
    call('DEL', B .. 'dray:tick')
  end
  redis.pcall('ZREM', B .. 'dray:members', token)
  redis.pcall('ZREM', B .. 'dray:seen', token)
end
local ids = call('LRANGE', B .. 'active', first, first + max - 1)
if #ids == 0 then
  return { 0, 0, freed }
end
local spared, locks, unlock, back = {}, {}, {}, {}
for i = 6, #ARGV do
  spared[ARGV[i]] = true
end
for i = 1, #ids do
  locks[i] = B .. ids[i] .. ':lock'
end
local holders = call('MGET', unpack(locks))
local oldest = 0
for i = 1, #ids do
  oldest = holders[i] == token and not spared[ids[i]] and i or oldest
end
for i = 1, #ids do
  if holders[i] == token and not spared[ids[i]] or ordered and not holders[i] and i < oldest then
    local key = B .. ids[i]
    local exists = call('TYPE', key).ok == 'hash'
    unlock[#unlock + 1] = locks[i]
    local counts = limit >= 0 and (not ordered or i == oldest)
    if exists and counts and count_stall(key) > limit then
      call('SADD', B .. 'stalled', ids[i])
    else
      call('LREM', B .. 'active', -1, ids[i])
      back[#back + 1] = ids[i]
      local priority = exists and priority_of(call('HGET', key, 'priority')) or 0
      if priority > 0 then
        call('ZADD', B .. 'priority', priority, ids[i])
      end
    end
  end
end
if #unlock > 0 then
  call('DEL', unpack(unlock))
end
if #back > 0 then
  call('SREM', B .. 'stalled', unpack(back))
  call('RPUSH', target(), unpack(back)) -- active's right end is the oldest: it comes to stand at the right again
end
return { #back, #ids, freed }
