-- heard: stands in front of add, and behind head of other scripts that tell of many jobs at once.
-- Nobody here heard the first message, and listeners elsewhere there are none: then nobody hears the others. alone is
-- "1" when the caller knows that this server has no replicas and is no part of a cluster, whose listeners are not
-- counted here; asking costs as much as a few publications. Who may not ask publishes.
local function is_unheard(receivers, messages, alone)
  if receivers ~= 0 or alone == '1' then
    return receivers == 0
  end
  if messages < 6 then
    return false
  end
  local info = redis.pcall('INFO', 'replication', 'cluster')
  return type(info) == 'string' and string.find(info, 'connected_slaves:0', 1, true)
    and string.find(info, 'cluster_enabled:0', 1, true)
end

local function publish_each(channel, ids, alone)
  for i = 1, #ids do
    local receivers = redis.call('PUBLISH', channel, ids[i])
    if i == 1 and is_unheard(receivers, #ids, alone) then
      return
    end
  end
end
