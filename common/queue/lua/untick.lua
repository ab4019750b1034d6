-- untick: gives the tick lease up. ARGV: token.
if call('GET', B .. 'dray:tick') == ARGV[1] then
  return call('DEL', B .. 'dray:tick')
end
return 0
