-- ARGV: ttl, turn, run
-- Answers: {{id…}, {message…}} or 'fenced'
use(KEYS[1])
local turn = ARGV[2]
if not find(turn, ARGV[3]) or get('state:' .. turn) ~= 'running' then
  return 'fenced'
end
local ids, messages = steers(turn), {}
for place, id in ipairs(ids) do
  messages[place] = string.sub(get(steer(turn, id)), 2)
  set(steer(turn, id), 't' .. messages[place])
end
return { ids, messages }
