-- ARGV: ttl, up to how many bytes of messages are asked for
-- Returns what state_of returns, and {message…}, or 'large' if they are more
use(KEYS[1])
local values = state_of()
if values then
  local large = number('history_bytes') > tonumber(ARGV[2])
  values[#values + 1] = large and 'large' or redis.call('LRANGE', base .. 'm', 0, -1)
end
return values
