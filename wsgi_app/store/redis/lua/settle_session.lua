-- ARGV: ttl
-- Answers: {run, worker, …} of the turns that run and wait
use(KEYS[1])
local turns = {}
for _, turn in ipairs(active()) do
  turns[#turns + 1] = get('run:' .. turn)
  turns[#turns + 1] = get('worker:' .. turn)
end
return turns
