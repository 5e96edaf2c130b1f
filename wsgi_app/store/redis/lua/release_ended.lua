-- Gives back the places of a turn that `finish`, before it in the same round trip, has ended.
-- For a server that has all of these keys.
-- KEYS: the tenant's, the session's hash, the worker's turns
-- ARGV: ttl, session, turn, run, turn's members in the tenant's and in the worker's
-- Returns 1, or 0 if the turn has not ended so
local s, session, turn, run, member = KEYS[6], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local values = redis.call('HMGET', s, 'run:' .. turn, 'state:' .. turn, 'created',
  'history_bytes', 'journal_bytes')
if values[1] ~= run or values[2] then
  return 0
end
redis.call('ZREM', TURNS, member)
redis.call('ZREM', ASKING, member)
keep_session(session, values[3])
note_stored(session, values[4] + values[5])
renew()
redis.call('ZREM', KEYS[7], ARGV[6])
return 1
