-- ARGV: ttl, turn, run, request_id
-- Answers: the creation of a session made again or '', or 'fenced'
use(KEYS[1])
local turn, run, request_id = ARGV[2], ARGV[3], ARGV[4]
local found, revived = find_running(turn, run)
if not found then
  return 'fenced'
end
ask(turn, request_id)
written()
return revived
