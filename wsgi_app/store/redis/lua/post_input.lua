-- ARGV: ttl, request_id, value, nonce of this call
-- Answers: whether it was taken
use(KEYS[1])
local request_id, value, nonce = ARGV[2], ARGV[3], ARGV[4]
if get('question_id') ~= request_id then
  return 0
end
if get('answer') then
  -- The same call again, as the connection broke before its reply, was not refused.
  return get('answer_nonce') == nonce and 1 or 0
end
local turn = get('question_turn')
set('answer', value, 'answer_nonce', nonce)
written()
push(get('worker:' .. turn), 'input', turn, request_id)
return 1
