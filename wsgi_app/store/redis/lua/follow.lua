-- ARGV: ttl, lease, worker
use(KEYS[1])
local lease, worker = tonumber(ARGV[2]), ARGV[3]
if not exists() then
  return
end
redis.call('ZREMRANGEBYSCORE', base .. 'f', '-inf', int(now))
redis.call('ZADD', base .. 'f', int(now + lease * 1000), worker)
redis.call('PEXPIRE', base .. 'f', int(lease))
local running = active()[1]
if running then
  push(get('worker:' .. running), 'follow', running)
end
