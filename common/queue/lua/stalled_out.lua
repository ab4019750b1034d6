-- stalled_out: a job that stalled too often goes to failed, as Bull's check does it. Stands behind head.
local function fail_stalled(id, key, now, tombstone_ms)
  local job = call('HMGET', key, 'opts', 'deid')
  if job[2] and call('PTTL', B .. 'de:' .. job[2]) < 0 then
    call('DEL', B .. 'de:' .. job[2])
  end
  call('ZADD', B .. 'failed', now, id)
  call('HSET', key, 'failedReason', 'job stalled more than allowable limit', 'finishedOn',
    string.format('%.0f', now))
  call('PUBLISH', B .. 'failed', '{"jobId":' .. cjson.encode(id) .. ', "val": "job stalled more than maxStalledCount"}')
  local ok, opts = pcall(cjson.decode, job[1] or '{}')
  local keep = ok and type(opts) == 'table' and opts.removeOnFail
  local function whole(v)
    v = type(v) == 'number' and v or -1
    return v >= 0 and v < 2 ^ 50 and math.floor(v) or -1
  end
  if keep == true or keep == 0 then
    call('ZREM', B .. 'failed', id)
    forget({ id }, now, tombstone_ms)
  elseif type(keep) == 'number' then
    trim(B .. 'failed', whole(keep), 0, now, 10, tombstone_ms)
  elseif type(keep) == 'table' then
    trim(B .. 'failed', whole(keep.count), whole(keep.age) * 1000, now, 10, tombstone_ms)
  end
end
