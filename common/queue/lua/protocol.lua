-- protocol: mode and number of partitions of a destination stand in Redis, and the first writer wins. ARGV: format that
-- we know, mode, partitions; to change them: also what was found, as "format,mode,partitions" ("0,,0" for nothing).
-- Returns { 0 agrees, 1 differs, 2 newer, 3 jobs are in the way; format, mode, partitions as found; jobs of the plain
-- queue }. A mode of "" was never written.
local known, mode, partitions, expected = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local key = B .. 'dray:proto'
-- A string, "format,mode,partitions": Bull's removeJobs deletes every hash of a queue. Whatever else stands there is nothing.
local text = redis.pcall('GET', key)
local format, old_mode, old_partitions = string.match(type(text) == 'string' and text or '', '^(%d+),?(%w*),?(%d*)')
format, old_mode, old_partitions = tonumber(format) or 0, old_mode or '', tonumber(old_partitions) or 0
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
    call('SET', key, ARGV[1] .. ',' .. mode .. ',' .. partitions)
  end
elseif old_mode ~= mode or old_partitions ~= tonumber(partitions) then
  code = 1
end
return { code, format, old_mode, old_partitions, jobs }
