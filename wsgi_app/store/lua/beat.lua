-- ARGV: ttl, lease, worker, member…
redis.call('ZADD', ALIVE, int(now), ARGV[3])
redis.call('ZREMRANGEBYSCORE', ALIVE, '-inf', int(now - math.max(ttl, 10 * lease) * 1000))
redis.call('PEXPIRE', ALIVE, int(math.max(ttl, 10 * lease)))
-- Those whose end could not be told.
redis.call('ZREMRANGEBYSCORE', TURNS, '-inf', int(now - 6 * lease * 1000))
note_turns(4)
