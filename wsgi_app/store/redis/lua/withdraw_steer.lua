-- ARGV: ttl, turn, id
-- Answers: 0 if the turn's worker has taken it, else 1
use(KEYS[1])
local message = get(steer(ARGV[2], ARGV[3]))
if not message then
  return 1
end
if string.sub(message, 1, 1) ~= 'w' then
  return 0
end
forget_steer(ARGV[2], ARGV[3])
return 1
