-- ARGV: ttl, lease, worker
redis.call('ZREM', ALIVE, ARGV[3])
