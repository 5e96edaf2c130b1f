-- ARGV: ttl, lease, member
redis.call('ZREM', TURNS, ARGV[3])
