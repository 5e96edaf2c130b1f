-- ARGV: ttl, turn, id
-- Answers: 1 or 0
use(KEYS[1])
local turn = ARGV[2]
local message = get(steer(turn, ARGV[3]))
if message and string.sub(message, 1, 1) == 'w' then
  push(get('worker:' .. turn), 'steer', turn)
end
return message and 1 or 0
