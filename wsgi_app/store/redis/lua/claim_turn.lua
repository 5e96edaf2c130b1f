-- ARGV: ttl, turn, run
-- Answers: {'started' or 'waiting', cancel or '', {message…}} or 'fenced'
use(KEYS[1])
local turn, run = ARGV[2], ARGV[3]
if not find(turn, run) or not get('state:' .. turn) then
  return 'fenced'
end
local owner = get('owner')
local cancel = get('cancel:' .. turn)
if get('state:' .. turn) == 'queued' and not cancel and active()[1] == turn then
  start(turn)
end
if get('state:' .. turn) ~= 'running' then
  return { 'waiting', cancel or '', {} }
end
written()
push_moved(owner)
return { 'started', cancel or '', history(turn) }
