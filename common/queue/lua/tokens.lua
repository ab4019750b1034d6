-- tokens: who holds active jobs. ARGV: prefix, first index of active, how many to look at.
-- Returns { looked at, token... }, each token that begins with prefix once.
local prefix, first, max = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local ids = call('LRANGE', B .. 'active', first, first + max - 1)
local found = { #ids }
if #ids == 0 then
  return found
end
for i = 1, #ids do
  ids[i] = B .. ids[i] .. ':lock'
end
local seen = {}
for _, token in ipairs(call('MGET', unpack(ids))) do
  if token and not seen[token] and string.sub(token, 1, #prefix) == prefix then
    seen[token] = true
    found[#found + 1] = token
  end
end
return found
