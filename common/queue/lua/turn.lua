-- turn: settle and take in one call, by who ends jobs and wants others; settle and take are the texts of these.
-- ARGV: settle's, then take's, then how many take's are. Returns { what settle returns, what take returns }, in place of either its error.
local settled, asked = ARGV, {}
for i = tonumber(table.remove(settled)), 1, -1 do
  asked[i] = table.remove(settled)
end

local function attempt(part, args)
  local ok, answer = pcall(part, args)
  if ok or type(answer) == 'table' then
    return answer
  end
  answer = tostring(answer)
  return { err = string.find(answer, '^%u+ ') and answer or 'ERR ' .. answer } -- a command's has its word
end

local codes = attempt(settle, settled)
return { codes, attempt(take, asked) }
