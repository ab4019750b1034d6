-- admin_pause: pauses or resumes for everybody. Bull renames one list over the other; here what stands in both is joined,
-- older jobs to the right, the shorter list onto the longer, at most so many a call.
-- ARGV: paused | resumed, how many entries to move. Returns 1 done, 0 call again.
local event, max = ARGV[1], tonumber(ARGV[2])
local wait, paused = B .. 'wait', B .. 'paused'
if event == 'paused' then
  call('SET', B .. 'meta-paused', '1') -- first: nobody takes meanwhile
  call('HSET', B .. 'meta', 'paused', '1')
end
local n, m = call('LLEN', wait), call('LLEN', paused)
if n > 0 and m > 0 then
  for _ = 1, math.min(n, m, max) do
    if n <= m then
      call('LMOVE', wait, paused, 'RIGHT', 'LEFT')
    else
      call('LMOVE', paused, wait, 'LEFT', 'RIGHT')
    end
  end
  if math.min(n, m) > max then
    return 0
  end
  n, m = call('LLEN', wait), call('LLEN', paused)
end
if event == 'paused' then
  if n > 0 then
    call('RENAME', wait, paused)
  end
else
  if m > 0 then
    call('RENAME', paused, wait)
  end
  call('DEL', B .. 'meta-paused')
  call('HDEL', B .. 'meta', 'paused')
end
call('PUBLISH', B .. event, event)
return 1
