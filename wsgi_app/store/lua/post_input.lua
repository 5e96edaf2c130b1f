-- ARGV: ttl, request_id, value
-- Answers: whether it was taken
use(KEYS[1])
local request_id, value = ARGV[2], ARGV[3]
if get('question_id') ~= request_id or get('answer') then
  return 0
end
local turn = get('question_turn')
set('answer', value)
written()
push(get('worker:' .. turn), 'input', turn, request_id)
return 1
