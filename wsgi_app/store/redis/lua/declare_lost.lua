-- ARGV: ttl, lease, worker
-- Its lease is over: the living look after its turns at once.
redis.call('ZADD', ALIVE, int(now - lease * 1000 - 1), ARGV[3])
redis.call('ZADD', GONE, int(now), ARGV[3])
redis.call('PEXPIRE', GONE, int(math.max(ttl, 10 * lease)))
local prefix = string.match(ALIVE, '^[^{]*') .. 'signals:'
for _, living in ipairs(redis.call('ZRANGEBYSCORE', ALIVE, int(now - lease * 1000), '+inf')) do
  redis.call('PUBLISH', prefix .. living, 'lost : 0 ' .. int(now) .. ' ' .. ARGV[3])
end
