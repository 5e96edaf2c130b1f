-- ARGV: ttl, run, most attempts, worker that it had, number of its events, of its records, its question,
-- new run, new worker, seq before the new events, event… (none of a turn that waits for its place)
-- Answers: {turn, creation of the session, {message…}}, or nothing if it is not as it was, or somebody was faster
use(KEYS[1])
local run, worker, events = ARGV[2], ARGV[4], tonumber(ARGV[5])
local new_run, new_worker, seq = ARGV[8], ARGV[9], ARGV[10]
local turn = resumable(run, tonumber(ARGV[3]))
if not turn or get('worker:' .. turn) ~= worker or redis.call('LLEN', journal(turn)) ~= events
  or redis.call('LLEN', records(turn)) ~= tonumber(ARGV[6]) or waiting_question(turn) ~= ARGV[7] then
  return false
end
local waits = get('state:' .. turn) == 'queued'
if waits ~= (#ARGV < 11) then
  return false
end
remove('turn:' .. run, 'orphan:' .. turn)
set('turn:' .. new_run, turn, 'run:' .. turn, new_run, 'worker:' .. turn, new_worker)
if waits then
  -- It has not begun: it has another worker, and nothing more.
  written()
  return { turn, get('created'), {} }
end
local owner = get('owner')
local jumps = get('jumps:' .. turn)
set('owner', new_worker, 'attempt:' .. turn, math.max(1, number('attempt:' .. turn)) + 1,
  'jumps:' .. turn, (jumps and jumps .. ',' or '') .. int(events) .. ':' .. seq)
store_events(turn, events + 1, 11, #ARGV)
push_moved(owner)
push_events(turn, followers())
written()
return { turn, get('created'), history(turn) }
