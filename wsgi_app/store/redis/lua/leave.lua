-- ARGV: ttl, lease, worker
redis.call('ZREM', ALIVE, ARGV[3])
redis.call('HDEL', INFO, ARGV[3])
redis.call('ZREM', GONE, ARGV[3])
