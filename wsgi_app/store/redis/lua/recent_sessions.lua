-- ARGV: ttl, milliseconds
-- Answers: the sessions that were created within so long
return redis.call('ZRANGEBYSCORE', CREATED, int(now - tonumber(ARGV[2]) * 1000), '+inf')
