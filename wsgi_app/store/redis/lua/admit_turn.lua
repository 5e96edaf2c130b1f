-- KEYS: those of the tenant; with a rate its starts in the window before the current one, and in that
-- ARGV: ttl, lease, session, turn's member, max_turns_per_tenant, max_sessions_per_tenant,
--       max_stored_bytes_per_tenant, with a rate: starts, in so many seconds
-- Answers: {'', created, window} or {code, whether a place that was taken just now may come back,
--          window}, where the window is what read_starts answers
local lease, session, member = tonumber(ARGV[2]), ARGV[3], ARGV[4]
local max_turns, max_sessions = tonumber(ARGV[5]), tonumber(ARGV[6])
local max_stored = tonumber(ARGV[7])
local rate, window_seconds = tonumber(ARGV[8]), tonumber(ARGV[9])
local windows = { KEYS[6], KEYS[7] }
-- Longer than a request takes from here to its refusal by the session.
local UNSETTLED = 100000

local function answer(code, detail)
  return { code, detail, rate and read_starts(windows, window_seconds) or {} }
end

local function refuse(code, may_come_back)
  if rate then
    uncount_start(windows, window_seconds)
  end
  return answer(code, may_come_back and 1 or 0)
end

if rate and not count_start(windows, rate, window_seconds) then
  return answer('rate_limited', 0)
end
purge()
local known = redis.call('ZSCORE', EXPIRES, session)
if not known and redis.call('ZCARD', EXPIRES) >= max_sessions then
  return refuse('too_many_sessions', false)
end
if tonumber(redis.call('HGET', STORED, '') or 0) >= max_stored then
  return refuse('too_much_stored', false)
end
if not is_known(member) and redis.call('ZCARD', TURNS) >= max_turns then
  local newest = redis.call('ZREVRANGE', TURNS, 0, 0, 'WITHSCORES')[2]
  local settled = now + math.min(lease, ttl) * 1000 - UNSETTLED
  return refuse('too_many_turns', newest and tonumber(newest) > settled)
end
-- Strictly growing, so that a list by creation has one order.
local last = redis.call('ZREVRANGE', CREATED, 0, 0, 'WITHSCORES')[2]
keep_session(session, int(math.max(now, tonumber(last or 0) + 1)))
keep_turn(member, lease)
renew()
return answer('', int(redis.call('ZSCORE', CREATED, session)))
