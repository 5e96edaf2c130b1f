-- ARGV: ttl, run, most attempts
-- Answers: nothing if nobody may go on with it, else {turn, worker, what its run is made from, attempt,
-- number of events, µs since it began or '' if it waits for its place, question whose answer its
-- worker does not have or '', {record…}}
use(KEYS[1])
local turn = resumable(ARGV[2], tonumber(ARGV[3]))
if not turn then
  return false
end
local asks = waiting_question(turn)
local waits = get('state:' .. turn) == 'queued'
return { turn, get('worker:' .. turn), get('resume:' .. turn),
  math.max(1, number('attempt:' .. turn)), redis.call('LLEN', journal(turn)),
  waits and '' or int(now - number('began:' .. turn)), asks, redis.call('LRANGE', records(turn), 0, -1) }
