-- repeat_list: ARGV: start, end, "1" the next one first. Returns { how many there are, then member, next ms, ... }.
local list = { call('ZCARD', B .. 'repeat') }
local found = call(ARGV[3] == '1' and 'ZRANGE' or 'ZREVRANGE', B .. 'repeat', ARGV[1], ARGV[2], 'WITHSCORES')
for i = 1, #found do
  list[i + 1] = found[i]
end
return list
