-- order: what the scripts of ordered queues share. Stands behind head.
-- Puts a job at the end of list that is served next.
local function put_in_front(list, id)
  local text = redis.pcall('HGET', B .. id, 'priority')
  local priority = priority_of(type(text) == 'string' and text or nil)
  if priority > 0 then
    call('ZADD', B .. 'priority', priority, id)
  end
  call('RPUSH', list, id)
end
