-- ARGV: ttl, lease, session, turn's member, max_turns_per_tenant, max_sessions_per_tenant
-- Answers: {'', created} or {code, whether a place that was taken just now may come back}
local lease, session, member = tonumber(ARGV[2]), ARGV[3], ARGV[4]
local max_turns, max_sessions = tonumber(ARGV[5]), tonumber(ARGV[6])
-- Longer than a request takes from here to its refusal by the session.
local UNSETTLED = 100000

purge()
local known = redis.call('ZSCORE', EXPIRES, session)
if not known and redis.call('ZCARD', EXPIRES) >= max_sessions then
  return { 'too_many_sessions', 0 }
end
if not redis.call('ZSCORE', TURNS, member) and redis.call('ZCARD', TURNS) >= max_turns then
  local newest = redis.call('ZREVRANGE', TURNS, 0, 0, 'WITHSCORES')[2]
  local settled = now + math.min(lease, ttl) * 1000 - UNSETTLED
  return { 'too_many_turns', newest and tonumber(newest) > settled and 1 or 0 }
end
-- Strictly growing, so that a list by creation has one order.
local last = redis.call('ZREVRANGE', CREATED, 0, 0, 'WITHSCORES')[2]
keep_session(session, int(math.max(now, tonumber(last or 0) + 1)))
keep_turn(member, lease)
renew()
return { '', int(redis.call('ZSCORE', CREATED, session)) }
