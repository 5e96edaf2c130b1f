-- ARGV: ttl, turn, run, id
-- Answers: 1, or 'fenced'
use(KEYS[1])
local turn = ARGV[2]
if not find(turn, ARGV[3]) then
  return 'fenced'
end
forget_steer(turn, ARGV[4])
for _, follower in ipairs(followers()) do
  push(follower, 'events', turn)
end
return 1
