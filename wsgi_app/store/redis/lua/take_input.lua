-- ARGV: ttl, turn, run, request_id
-- Answers: {creation of a session made again or '', answer if there is one} or 'fenced'
use(KEYS[1])
local turn, run, request_id = ARGV[2], ARGV[3], ARGV[4]
local found, revived = find_running(turn, run)
if not found then
  return 'fenced'
end
if not get('question_turn') then
  -- It was lost with its session.
  ask(turn, request_id)
end
if get('question_turn') == turn and get('question_id') == request_id then
  return { revived, get('answer') }
end
return { revived }
