-- progress: how far a job has come, as Bull's updateProgress keeps it, but by the holder of its lock alone.
-- ARGV: token, id, JSON. Returns 0 done, -1 no such job, -2 the lock is not ours.
local key = B .. ARGV[2]
if call('TYPE', key).ok ~= 'hash' then
  return -1
end
if call('GET', key .. ':lock') ~= ARGV[1] then
  return -2
end
call('HSET', key, 'progress', ARGV[3])
call('PUBLISH', B .. 'progress', '{"jobId":' .. cjson.encode(ARGV[2]) .. ',"progress":' .. ARGV[3] .. '}')
return 0
