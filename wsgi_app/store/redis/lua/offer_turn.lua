-- ARGV: ttl, turn, run, worker that it is offered to, what its run is made from
-- Answers: 1 or 'fenced'
use(KEYS[1])
local turn, run, worker = ARGV[2], ARGV[3], ARGV[4]
if not find(turn, run) or not get('state:' .. turn) then
  return 'fenced'
end
if get('order:' .. turn) then
  return 1 -- who began it has taken it back meanwhile
end
set('order:' .. turn, ARGV[5])
written()
push(worker, 'offer', turn, run)
return 1
