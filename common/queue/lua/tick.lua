-- tick: get or keep the lease; its holder moves due delayed jobs to where they wait, as Bull's updateDelaySet does.
-- ARGV: token, lease ms, how many to move, the queue's own lease ("" for one that is not ordered: on one that is, its
-- holder is who ticks). Returns { 1 holder, 0 not, moved, ms until the next is due or -1,
-- ms until the lease ends }. The place of a job with a priority is searched for in the whole list: what one call walks
-- over is bounded, and the next one goes on.
local token, lease_ms, max = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local lease = B .. 'dray:tick'
local ordered = ARGV[4] ~= ''
local holder = call('GET', ordered and B .. 'dray:lease' or lease)
if ordered and holder ~= ARGV[4] or not ordered and holder and holder ~= token then
  return { 0, 0, -1, call('PTTL', lease) }
end
if not ordered then
  call('SET', lease, token, 'PX', lease_ms)
end
local now = now_ms()
local due = call('ZRANGEBYSCORE', B .. 'delayed', '-inf', now * 4096 + 4095, 'LIMIT', 0, max)
local moved, front, looked_at, walked = {}, {}, 0, 0
if #due > 0 then
  local list, channel = target(), B .. 'waiting@' .. token
  for i = 1, #due do
    if walked > 200000 then
      break
    end
    looked_at = i
    local id = due[i]
    local job = redis.pcall('HMGET', B .. id, 'priority', 'opts', 'dray:front')
    if job.err or not (job[1] or job[2]) and call('EXISTS', B .. id) == 0 then
      fail_ghost(id, 'job data missing', now)
    else
      local priority = priority_of(job[1])
      if priority > 0 then
        walked = walked + push_by_priority(list, id, priority)
      elseif job[3] then
        front[#front + 1] = id
        call('HDEL', B .. id, 'dray:front')
      else
        call('LPUSH', list, id)
      end
      call('HSET', B .. id, 'delay', '0', 'dray:due', string.format('%.0f', now))
      call('PUBLISH', channel, id)
      moved[#moved + 1] = id
    end
  end
  for i = #front, 1, -1 do -- what was due first is served first
    call('RPUSH', list, front[i])
  end
  call('ZREM', B .. 'delayed', unpack(due, 1, looked_at))
end
local next_due = -1
local first = call('ZRANGE', B .. 'delayed', 0, 0, 'WITHSCORES')
if first[2] then
  local at = tonumber(first[2]) / 4096
  next_due = math.min(math.max(0, math.floor(at) - now), 2 ^ 40)
  if #due > 0 then
    call('PUBLISH', B .. 'delayed', at)
  end
end
return { 1, #moved, next_due, lease_ms }
