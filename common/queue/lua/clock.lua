-- clock: Redis' own clock in ms, as text: to make a number a text, or a text a number, costs as much as a call.
local stamp
local function clock()
  if not stamp then
    local t = call('TIME')
    stamp = t[1] .. string.sub('000000' .. t[2], -6, -4)
  end
  return stamp
end
