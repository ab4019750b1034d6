-- heard: stands in front of add, and behind head of other scripts that tell of many jobs at once.
-- May anybody hear what is published there? Asking costs as much as a few publications. A cluster's nodes and replicas
-- have listeners of their own, which are not counted here; and who may not ask publishes.
local function is_heard(channel, messages)
  if messages < 6 then
    return true
  end
  local patterns, names = redis.pcall('PUBSUB', 'NUMPAT'), redis.pcall('PUBSUB', 'NUMSUB', channel)
  if patterns ~= 0 or names[2] ~= 0 then
    return true
  end
  local info = redis.pcall('INFO', 'replication', 'cluster')
  return type(info) ~= 'string' or not string.find(info, 'connected_slaves:0', 1, true)
    or not string.find(info, 'cluster_enabled:0', 1, true)
end

local function publish_each(channel, ids)
  if is_heard(channel, #ids) then
    for i = 1, #ids do
      redis.call('PUBLISH', channel, ids[i])
    end
  end
end
