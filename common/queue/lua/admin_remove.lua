-- admin_remove: removes jobs by their ids, wherever they stand. ARGV: "1" to count only, tombstone ms, "1" when only jobs
-- that have a hash are meant, id...
-- Returns { removed, locked, ids dealt with, code of the last: 1, 0 no such job, -1 locked }. It deals with fewer when
-- the lists are long: a removal looks through all of them.
local dry, tombstone_ms, real = ARGV[1] == '1', tonumber(ARGV[2]), ARGV[3] == '1'
local now, removed, locked, dealt, code, walked = now_ms(), {}, 0, 0, 0, 0
local counted = 0

local function remove(id)
  if not may_be_id(id) then
    return 0
  end
  local kind = call('TYPE', B .. id).ok
  if kind ~= 'hash' and (kind ~= 'none' or real) then
    return 0
  end
  if is_locked(id) then
    return -1
  end
  if dry then
    return (kind == 'hash' or state_of(id) ~= 'stuck') and 1 or 0
  end
  local found = 0
  for _, list in ipairs({ 'active', 'wait', 'paused' }) do
    walked = walked + call('LLEN', B .. list)
    found = found + call('LREM', B .. list, 0, id)
  end
  for _, set in ipairs({ 'delayed', 'completed', 'failed' }) do
    found = found + call('ZREM', B .. set, id)
  end
  call('ZREM', B .. 'priority', id)
  call('SREM', B .. 'stalled', id)
  if kind == 'hash' then
    unhook(id)
  elseif found == 0 then
    return 0
  end
  removed[#removed + 1] = id
  return 1
end

for i = 4, #ARGV do
  if walked > 500000 then
    break
  end
  code = remove(ARGV[i])
  dealt = dealt + 1
  if code == 1 then
    counted = counted + 1
  elseif code == -1 then
    locked = locked + 1
  end
end
forget(removed, now, tombstone_ms)
return { counted, locked, dealt, code }
