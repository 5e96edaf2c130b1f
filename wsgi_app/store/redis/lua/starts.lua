-- A tenant's starts in a sliding window: put before the scripts that count them.
--   keys[1]  number: those of the window before the current one
--   keys[2]  number: those of the current window
-- A window begins with its first start. Its number lives for twice its length: as the current one,
-- then as the one before, which counts by the share of it that the sliding window still covers.

-- Answers {before, its milliseconds, current, its milliseconds}; numbers are missing where nothing
-- was counted.
local function read_starts(keys, window_seconds)
  local window_ms = window_seconds * 1000
  local left = redis.call('PTTL', keys[2])
  if left > 0 and left < window_ms then
    redis.call('RENAME', keys[2], keys[1])
    redis.call('SET', keys[2], 0, 'PX', left + window_ms)
  end
  return {
    redis.call('GET', keys[1]),
    redis.call('PTTL', keys[1]),
    redis.call('GET', keys[2]),
    redis.call('PTTL', keys[2]),
  }
end

-- Answers whether there was room, and what `read_starts` would answer now.
local function count_start(keys, amount, window_seconds)
  local starts = read_starts(keys, window_seconds)
  local share = math.max(0, starts[2]) / (window_seconds * 1000)
  local before, current = tonumber(starts[1] or 0), tonumber(starts[3] or 0)
  if math.floor(before * share) + current + 1 > amount then
    return false, starts
  end
  if starts[3] then
    redis.call('INCR', keys[2])
  else
    redis.call('SET', keys[2], 1, 'PX', 2000 * window_seconds)
    starts[4] = 2000 * window_seconds
  end
  starts[3] = current + 1
  return true, starts
end

-- Takes back one that came to nothing.
local function uncount_start(keys, window_seconds)
  local starts = read_starts(keys, window_seconds)
  if tonumber(starts[3] or 0) > 0 then
    redis.call('DECR', keys[2])
  end
end
