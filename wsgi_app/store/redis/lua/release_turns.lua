-- ARGV: ttl, session, its creation or '', whether it was deleted, the bytes that it holds or '',
-- turn's member…
local session, created, deleted, bytes = ARGV[2], ARGV[3], ARGV[4] == '1', tonumber(ARGV[5])
for place = 6, #ARGV do
  redis.call('ZREM', TURNS, ARGV[place])
  redis.call('ZREM', ASKING, ARGV[place])
end
if deleted then
  -- Another creation is that of a session which has taken its name meanwhile.
  if tonumber(redis.call('ZSCORE', CREATED, session) or 0) == tonumber(created) then
    redis.call('ZREM', CREATED, session)
    redis.call('ZREM', EXPIRES, session)
    note_stored(session, 0)
  end
elseif created ~= '' then
  keep_session(session, created)
  if bytes then
    note_stored(session, bytes)
  end
end
renew()
