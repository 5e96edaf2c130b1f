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
  local answer = get('answer')
  if answer then
    set('taken', 1)  -- who has it acts on it: it is no other worker's any more
  end
  return { revived, answer }
end
return { revived }
