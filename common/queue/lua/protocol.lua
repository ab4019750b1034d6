-- protocol: mode and number of partitions of a destination stand in Redis, and the first writer wins. ARGV: format that
-- we know, mode, partitions; to change them: also what was found, as "format,mode,partitions" ("0,,0" for nothing).
-- Returns { 0 agrees, 1 differs, 2 newer, 3 jobs are in the way; format, mode, partitions as found; jobs of the plain
-- queue }. A mode of "" was never written.
local known, mode, partitions, expected = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local key = B .. 'dray:proto'
local found = call('HMGET', key, 'format', 'mode', 'partitions')
local format, old_mode, old_partitions = tonumber(found[1]) or 0, found[2] or '', tonumber(found[3]) or 0
local jobs = call('LLEN', B .. 'wait') + call('LLEN', B .. 'paused') + call('LLEN', B .. 'active')
  + call('ZCARD', B .. 'delayed')
local code = 0
if format > known then
  code = 2
elseif expected and expected ~= string.format('%.0f,%s,%.0f', format, old_mode, old_partitions) then
  code = 1
elseif old_mode == '' or expected then
  if mode == 'key' and old_mode ~= 'key' and jobs > 0 then
    code = 3
  else
    call('HSET', key, 'format', known, 'mode', mode, 'partitions', partitions)
  end
elseif old_mode ~= mode or old_partitions ~= tonumber(partitions) then
  code = 1
end
return { code, format, old_mode, old_partitions, jobs }
