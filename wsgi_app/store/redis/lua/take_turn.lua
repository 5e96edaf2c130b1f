-- ARGV: ttl, turn, run, worker, '1' if it was offered to the worker or '0' if that began it
-- Answers: {what was offered or nil if it was taken, worker before, state, {message…}} or 'fenced'
use(KEYS[1])
local turn, run, worker = ARGV[2], ARGV[3], ARGV[4]
if not find(turn, run) or not get('state:' .. turn) then
  return 'fenced'
end
local order = get('order:' .. turn)
if not order and ARGV[5] == '0' then
  -- The offer has not come here, and does nothing if it comes later.
  order = 'lost'
end
if not order or order == '' then
  return { false, get('worker:' .. turn), '', {} }
end
local owner, before, state = get('owner'), get('worker:' .. turn), get('state:' .. turn)
set('order:' .. turn, '', 'worker:' .. turn, worker)
if state == 'running' then
  set('owner', worker)
end
push_moved(owner)
written()
return { order, before, state, history(turn) }
