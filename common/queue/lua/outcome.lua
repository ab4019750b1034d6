-- outcome: what became of a job. ARGV: id. Returns { letter, return value or reason }: c completed, f failed, o neither,
-- g there is no such job (any more): it was completed and is not kept, or divided, or removed.
local id = ARGV[1]
local function field(name)
  local value = redis.pcall('HGET', B .. id, name)
  return type(value) == 'string' and value or ''
end
if call('ZSCORE', B .. 'completed', id) then
  return { 'c', field('returnvalue') }
elseif call('ZSCORE', B .. 'failed', id) then
  return { 'f', field('failedReason') }
end
return { call('EXISTS', B .. id) == 1 and 'o' or 'g', '' }
