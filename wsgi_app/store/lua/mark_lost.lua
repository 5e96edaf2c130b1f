-- ARGV: ttl, history_bytes, journal_bytes, error, worker ('' for whichever), run…
-- Answers: {creation of the session or '', turn, run, worker, …} of those that it ended, and without
-- a turn of those that had ended before
use(KEYS[1])
local history_bytes, journal_bytes = tonumber(ARGV[2]), tonumber(ARGV[3])
local event, worker = ARGV[4], ARGV[5]
local lost = { get('created') or '' }
local ending = {}
for place = 6, #ARGV do
  local run = ARGV[place]
  local turn = get('turn:' .. run)
  local owner = turn and get('worker:' .. turn)
  if not owner then
    for _, value in ipairs({ '', run, worker }) do
      lost[#lost + 1] = value
    end
  elseif worker == '' or worker == owner then
    ending[#ending + 1] = { turn, run, owner }
  end
end
-- The runs come in any order; what leaves the journal depends on the order of the ends.
table.sort(ending, function(a, b) return tonumber(a[1]) < tonumber(b[1]) end)
for _, values in ipairs(ending) do
  local turn = values[1]
  set('lost:' .. turn, event)
  redis.call('HINCRBY', s, 'bytes:' .. turn, #event)
  redis.call('HINCRBY', s, 'journal_bytes', #event)
  finish_turn(turn, 1, 0, history_bytes, journal_bytes)
  for _, value in ipairs(values) do
    lost[#lost + 1] = value
  end
end
return lost
