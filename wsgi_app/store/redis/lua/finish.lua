-- ARGV: ttl, turn, run, first_seq, history_bytes, journal_bytes, number of events, event…, message…
-- Answers: {last seq, whether it has ended, worker or '', creation of the session or '', its bytes} or
-- 'fenced'
use(KEYS[1])
local turn, run, first_seq = ARGV[2], ARGV[3], tonumber(ARGV[4])
local history_bytes, journal_bytes = tonumber(ARGV[5]), tonumber(ARGV[6])
local count = tonumber(ARGV[7])
fetch('created', 'updated', 'swept', 'newest', 'first', 'active', 'history_bytes', 'journal_bytes',
  'question_turn', 'run:' .. turn, 'lost:' .. turn, 'state:' .. turn, 'worker:' .. turn,
  'bytes:' .. turn, 'steers:' .. turn)
local found, revived = find_or_revive(turn, run)
if not found or get('lost:' .. turn) then
  return 'fenced'
end
local function stored_bytes()
  return number('journal_bytes') + number('history_bytes')
end

if not get('state:' .. turn) then
  return { redis.call('LLEN', journal(turn)), 1, '', get('created'), stored_bytes() }
end
local last_seq = store_events(turn, first_seq, 8, 7 + count)
if last_seq < first_seq + count - 1 then
  return { last_seq, 0, '', revived, 0 }
end
local worker = finish_turn(turn, 8 + count, #ARGV, history_bytes, journal_bytes)
return { last_seq, 1, worker, get('created'), stored_bytes() }
