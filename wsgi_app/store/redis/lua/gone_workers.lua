-- ARGV: ttl, lease
-- Answers: the workers of which it is known that they are gone
return redis.call('ZRANGE', GONE, 0, -1)
