-- ARGV: ttl, lease, worker that follows the end or '', turn or '', reason
-- Answers: the flagged turns
use(KEYS[1])
local follower = ARGV[3]
local flagged = flag(ARGV[4], ARGV[5])
for _, turn in ipairs(flagged) do
  if follower ~= '' and get('worker:' .. turn) ~= follower then
    follow(follower, tonumber(ARGV[2]))
    break
  end
end
return flagged
