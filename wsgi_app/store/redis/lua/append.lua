-- ARGV: ttl, turn, run, first_seq, event…
-- Answers: {last seq, cancel or '', followed, creation of a session made anew or ''} or 'fenced'
use(KEYS[1])
local turn, run, first_seq = ARGV[2], ARGV[3], tonumber(ARGV[4])
local found, revived = find_running(turn, run)
if not found then
  return 'fenced'
end
local stored = redis.call('LLEN', journal(turn))
local last_seq = store_events(turn, first_seq, 5, #ARGV)
written()
local workers = followers()
if last_seq > stored then
  for _, worker in ipairs(workers) do
    push(worker, 'events', turn)
  end
end
return { last_seq, get('cancel:' .. turn) or '', #workers > 0 and 1 or 0, revived }
