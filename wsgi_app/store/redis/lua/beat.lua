-- ARGV: ttl, lease, worker, info, member…
redis.call('ZADD', ALIVE, int(now), ARGV[3])
redis.call('HSET', INFO, ARGV[3], ARGV[4])
-- Those whose end could not be told.
local forgotten = int(now - math.max(ttl, 10 * lease) * 1000)
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', ALIVE, '-inf', forgotten)) do
  redis.call('HDEL', INFO, worker)
end
redis.call('ZREMRANGEBYSCORE', ALIVE, '-inf', forgotten)
redis.call('PEXPIRE', ALIVE, int(math.max(ttl, 10 * lease)))
redis.call('PEXPIRE', INFO, int(math.max(ttl, 10 * lease)))
redis.call('ZREMRANGEBYSCORE', TURNS, '-inf', int(now - 6 * lease * 1000))
note_turns(5)
-- Answers: whether somebody watches
return redis.call('EXISTS', WATCHED)
