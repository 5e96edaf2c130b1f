-- ARGV: ttl, session, its creation or '', whether it was deleted, turn's member…
local session, created, deleted = ARGV[2], ARGV[3], ARGV[4] == '1'
for place = 5, #ARGV do
  redis.call('ZREM', TURNS, ARGV[place])
  redis.call('ZREM', ASKING, ARGV[place])
end
if deleted then
  -- Another creation is that of a session which has taken its name meanwhile.
  if tonumber(redis.call('ZSCORE', CREATED, session) or 0) == tonumber(created) then
    redis.call('ZREM', CREATED, session)
    redis.call('ZREM', EXPIRES, session)
  end
elseif created ~= '' then
  keep_session(session, created)
end
renew()
