-- sweep: deletes finished jobs beyond what is kept. ARGV: completed: count (-1: all), age ms (0: any); failed: age ms;
-- how many at most of each; tombstone ms. Returns { completed removed, failed removed }.
local budget, tombstone_ms = tonumber(ARGV[4]), tonumber(ARGV[5])
local now = now_ms()
local completed = trim(B .. 'completed', tonumber(ARGV[1]), tonumber(ARGV[2]), now, budget, tombstone_ms)
local failed = trim(B .. 'failed', -1, tonumber(ARGV[3]), now, budget, tombstone_ms)
return { completed, failed }
