-- settle_ordered: settle for a queue with one processor, who holds its lease; the function settle is the text of
-- settle.lua. ARGV: lease, number of values before the jobs'; then as settle has it, with one more op:
--   H held: to the front again; extra = "ms before which nothing is taken,1 (text counts as a failed attempt) or 0"
-- With h and H goes all of ours that was taken after the job, in order. All but h need the lease; h is refused when we
-- have a later one: an earlier connection sent it.
-- Returns as settle does; -4 the lease is not ours, -2 also for what went back with another.
local lease, first = table.remove(ARGV, 1), tonumber(table.remove(ARGV, 1)) + 1
local token = ARGV[1]
local there = call('GET', B .. 'dray:lease') or ''
local fenced = there ~= lease
local outdated = fenced and string.match(there, '^(.*)/%d+$') == token
local list

-- What is ours and stands to the left of id in active was taken after it. What has no lock any more was ours: left there
-- it would come to stand before it.
local function hand_back_behind(id)
  list = list or help().target()
  local ids, at = call('LRANGE', B .. 'active', 0, -1), 0
  for i = 1, #ids do
    at = ids[i] == id and i or at
  end
  for i = 1, at - 1 do
    local lock = B .. ids[i] .. ':lock'
    if (call('GET', lock) or token) == token then
      call('LREM', B .. 'active', -1, ids[i])
      call('DEL', lock)
      call('SREM', B .. 'stalled', ids[i])
      help().put_in_front(list, ids[i])
    end
  end
end

-- ARGV becomes what settle is to do, asked[k] the place of its k-th job in what was asked for.
local codes, asked, holds, kept = {}, {}, {}, {}
for at = first, #ARGV, 5 do
  local op, id, extra = ARGV[at], ARGV[at + 1], ARGV[at + 3]
  local place = (at - first) / 5 + 1
  if fenced and (op ~= 'h' or outdated) then
    codes[place] = -4
  else
    if (op == 'h' or op == 'H') and call('EXISTS', B .. id) == 1 and call('GET', B .. id .. ':lock') == token then
      hand_back_behind(id)
    end
    if op == 'H' then
      local ms, counted = string.match(extra, '^(%d+),([01])$')
      holds[place] = { id, tonumber(ms) }
      op, extra = counted == '1' and 'R' or 'r', '1'
    end
    asked[#asked + 1] = place
    for _, value in ipairs({ op, id, ARGV[at + 2], extra, ARGV[at + 4] }) do
      kept[#kept + 1] = value
    end
  end
end
for at = first, #ARGV do
  ARGV[at] = kept[at - first + 1]
end
local done = #asked > 0 and settle() or {}
for k = 1, #asked do
  codes[asked[k]] = done[k]
end
for place, hold in pairs(holds) do
  if codes[place] == 0 then
    list = list or help().target()
    call('LREM', list, -1, hold[1]) -- wherever its options put it
    call('ZREM', B .. 'delayed', hold[1])
    call('RPUSH', list, hold[1])
    call('DEL', B .. 'dray:hold')
    if hold[2] > 0 then
      call('SET', B .. 'dray:hold', string.format('%.0f %s', clock() + hold[2], hold[1]), 'PX', hold[2])
    end
  end
end
return codes
