-- ARGV: ttl, turn, run, first_seq, event…
-- Answers: {last seq, cancel or '', followed, creation of a session made again or ''} or 'fenced'
use(KEYS[1])
local turn, run, first_seq = ARGV[2], ARGV[3], tonumber(ARGV[4])
fetch('created', 'updated', 'swept', 'newest', 'first', 'active', 'journal_bytes', 'run:' .. turn,
  'state:' .. turn, 'bytes:' .. turn, 'cancel:' .. turn)
local found, revived = find_running(turn, run)
if not found then
  return 'fenced'
end
local last_seq, followed = append_events(turn, first_seq, 5)
return { last_seq, get('cancel:' .. turn) or '', followed, revived }
