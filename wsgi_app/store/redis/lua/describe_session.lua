-- ARGV: ttl, up to how many bytes of messages are asked for
-- Answers: nothing for an unknown session, else {newest turn, active turns, owner, created, updated,
-- {message…} if asked for, or 'large' if they are more}
use(KEYS[1])
local values = redis.call('HMGET', s, 'newest', 'active', 'owner', 'created', 'updated')
if not values[1] then
  return false
end
local most = tonumber(ARGV[2])
if most > 0 then
  local large = number('history_bytes') > most
  values[#values + 1] = large and 'large' or redis.call('LRANGE', base .. 'm', 0, -1)
end
return values
