#!lua flags=allow-oom
-- rate: a lease of tokens for requests to one destination (GCRA over the whole fleet), and the rate itself where the
-- destination does not tell it. KEYS[1] is "PREFIX:dray:", ARGV: the destination; the configured rate in tokens a second
-- ("0": none); how many tokens are wanted; requests taken and refused (429) since we last asked; requests of ours that
-- were taken in the second before the first refusal (then 0); is the learnt rate wanted (1 or 0)?
-- <dest>:rate is a hash: tat (us: when the next token is there), and of the learnt rate: rate, ws (ms: begin of the
-- window), acc and rej (in the window), top (what it took last), hold (windows until more
-- is tried), step (how much more), fast (no refusal since the first guess; 2: the two seconds in which it is made).
-- A window without a refusal leaves the rate alone for 6 s, then tries 2 % more, and more from window to window; one
-- refusal takes it back, and 2 % off; many, to what was taken.
-- Returns { tokens, ms until the next one, rate in thousandths a second (0: none is needed) }.
local call = redis.call
local key = KEYS[1] .. 'dest:' .. ARGV[1] .. ':rate'
local fixed, want = tonumber(ARGV[2]), tonumber(ARGV[3])
local acc, rej, guess, learn = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7] == '1'
local WINDOW_MS, HOLD, FREE, KEEP_MS = 1000, 6, 5000, 600 * 1000
local t = call('TIME')
local now_us = t[1] * 1000000 + t[2]
local now = math.floor(now_us / 1000)

local kind = call('TYPE', key).ok
if kind ~= 'hash' and kind ~= 'none' then
  call('DEL', key)
end
local v = call('HMGET', key, 'tat', 'rate', 'ws', 'acc', 'rej', 'top', 'hold', 'step', 'fast')
for i = 1, 9 do
  v[i] = tonumber(v[i])
end
local tat, rate, ws, top, hold, step, fast = v[1], v[2], v[3], v[6], v[7] or 0, v[8] or 0.02, v[9] or 0
local sum_acc, sum_rej = (v[4] or 0) + acc, (v[5] or 0) + rej

if not learn then
  rate = nil
elseif not rate and rej > 0 then
  rate, ws, fast, hold, step, top = math.max(1, guess), now, 2, 0, 0.02, nil
  sum_acc, sum_rej = 0, 0
elseif rate and fast == 2 and now >= ws and now - ws < 2 * WINDOW_MS then
  -- The others come with what was taken from them; what they had under way is refused still.
  rate, sum_acc, sum_rej = rate + guess, 0, 0
elseif rate then
  if fast == 2 then
    fast, ws, sum_acc, sum_rej = 1, now, 0, 0
  end
  if rej > 0 and top and rate > top then
    rate = top
  end
  if now < ws or now - ws > 60 * WINDOW_MS then -- the clock went, or nothing was sent
    ws, sum_acc, sum_rej = now, acc, rej
  end
  if now - ws >= WINDOW_MS then
    local good = sum_acc * 1000 / (now - ws)
    if sum_rej > 0 and sum_acc == 0 then
      fast, hold = 1, 0 -- it takes nothing at all: that says nothing of its rate, and pauses are for that
    elseif sum_rej > 0 then
      if sum_rej > 0.1 * (sum_acc + sum_rej) then -- far too many: what it took is what it takes
        rate = math.min(rate, math.max(1, good * 0.985, rate * 0.7))
      else
        rate = math.max(1, rate * 0.98)
      end
      top = rate
      fast, hold, step = 0, HOLD, 0.02
    elseif good >= 0.8 * rate then
      if hold == 0 or fast == 1 then
        top = rate -- it takes that
      end
      if fast == 1 then
        rate = rate * 1.5
      elseif hold > 0 then
        hold = hold - 1
      else
        rate, step = rate * (1 + step), math.min(step * 1.5, 0.25)
      end
    end
    ws, sum_acc, sum_rej = now, 0, 0
    if rate > FREE then
      rate = nil
    end
  end
end

local used = fixed > 0 and rate and math.min(fixed, rate) or fixed > 0 and fixed or rate
if not used then
  call('DEL', key)
  return { want, 0, 0 }
end
local gap = 1000000 / used
local burst = math.max(1, math.min(10, math.floor(used / 10))) + 1 -- who comes late may catch up
if not tat or tat > now_us + math.max(10 * gap, 2000000) then
  tat = now_us
end
tat = math.max(tat, now_us - (burst - 1) * gap)
local n = 0
if now_us >= tat then
  n = math.min(want, math.floor((now_us - tat) / gap) + 1)
  tat = tat + n * gap
end
call('HSET', key, 'tat', string.format('%.0f', tat))
if rate then
  call('HSET', key, 'rate', string.format('%.3f', rate), 'ws', string.format('%.0f', ws), 'acc', sum_acc, 'rej', sum_rej,
    'top', top and string.format('%.3f', top) or '', 'hold', hold, 'step', string.format('%.4f', step), 'fast', fast)
else
  call('HDEL', key, 'rate')
end
call('PEXPIRE', key, KEEP_MS)
return { n, math.max(0, math.ceil((tat - now_us) / 1000)), math.floor(used * 1000) }
