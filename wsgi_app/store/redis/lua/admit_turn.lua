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

local starts, has_room = {}, true

local function answer(code, detail)
  return { code, detail, starts }
end

local function refuse(code, may_come_back)
  if rate then
    uncount_start(windows, window_seconds)
    starts = read_starts(windows, window_seconds)
  end
  return answer(code, may_come_back and 1 or 0)
end

if rate then
  has_room, starts = count_start(windows, rate, window_seconds)
end
if not has_room then
  return answer('rate_limited', 0)
end
purge()
local full = refuse_session(session, max_sessions, max_stored)
if full then
  return refuse(full, false)
end
if not is_known(member) and redis.call('ZCARD', TURNS) >= max_turns then
  local newest = redis.call('ZREVRANGE', TURNS, 0, 0, 'WITHSCORES')[2]
  local settled = now + math.min(lease, ttl) * 1000 - UNSETTLED
  return refuse('too_many_turns', newest and tonumber(newest) > settled)
end
local created = keep_new_session(session)
keep_turn(member, lease)
renew()
return answer('', created)
