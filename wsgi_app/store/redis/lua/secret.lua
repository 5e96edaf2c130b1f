-- ARGV: a random value
-- Answers: the value that all workers share, which is this one if there was none
redis.call('SETNX', KEYS[1], ARGV[1])
return redis.call('GET', KEYS[1])
