-- ARGV: ttl, turn, key behind '=', digest, most keys
-- Answers: nothing
use(KEYS[1])
local turn, key = ARGV[2], ARGV[3]
if get('run:' .. turn) and not redis.call('HGET', base .. 'k', key) then
  remember_key(turn, key, ARGV[4], tonumber(ARGV[5]))
end
