-- ARGV: ttl, lease
-- Answers: the members of the worker's turns
return redis.call('ZRANGE', TURNS, 0, -1)
