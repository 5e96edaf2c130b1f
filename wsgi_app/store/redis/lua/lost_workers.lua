-- ARGV: ttl, lease
-- Answers: the workers whose lease has run out
return redis.call('ZRANGEBYSCORE', ALIVE, '-inf', '(' .. int(now - lease * 1000))
