-- ARGV: ttl, lease, turn's member, max_asking_turns_per_tenant, '1' while it waits for an answer
local lease, member, most, asks = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), ARGV[5] == '1'
purge()
if asks and redis.call('ZCARD', ASKING) < most then
  if redis.call('ZREM', TURNS, member) == 1 then
    redis.call('ZADD', ASKING, int(now + math.min(lease, ttl) * 1000), member)
  end
elseif not asks and redis.call('ZREM', ASKING, member) == 1 then
  keep_turn(member, lease)
end
renew()
