-- admin_touch: writes to one job that is there. ARGV: what, id, text, keep.
--   data, progress: JSON text. log: a line; keep: how many stay, 0: all.
-- Returns 0 when there is no such job; 1, or for log how many lines there are.
local what, id, text, keep = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
if not is_job(id) then
  return 0
end
if what == 'log' then
  local n = call('RPUSH', B .. id .. ':logs', text)
  if keep > 0 then
    call('LTRIM', B .. id .. ':logs', -keep, -1)
    n = math.min(n, keep)
  end
  return n
end
call('HSET', B .. id, what, text)
if what == 'progress' then
  call('PUBLISH', B .. 'progress', '{"jobId":' .. cjson.encode(id) .. ',"progress":' .. text .. '}')
end
return 1
