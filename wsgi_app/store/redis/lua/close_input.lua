-- ARGV: ttl, turn, run, request_id
-- Answers: 1 if it was this question that waited, 0, or 'fenced'
use(KEYS[1])
local turn, run, request_id = ARGV[2], ARGV[3], ARGV[4]
if not find(turn, run) then
  return 'fenced'
end
if get('question_turn') == turn and get('question_id') == request_id then
  close_question()
  return 1
end
return 0
