-- ARGV: ttl, whether with messages
-- Answers: nothing for an unknown session, else {newest turn, active turns, owner, created, updated,
-- {message…} if asked for}
use(KEYS[1])
local values = redis.call('HMGET', s, 'newest', 'active', 'owner', 'created', 'updated')
if not values[1] then
  return false
end
if ARGV[2] == '1' then
  values[#values + 1] = redis.call('LRANGE', base .. 'm', 0, -1)
end
return values
