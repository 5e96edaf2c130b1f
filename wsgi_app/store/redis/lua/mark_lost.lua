-- ARGV: ttl, history_bytes, journal_bytes, error, worker ('' for whichever), and for each run: run,
-- number of its events that its messages are made of ('' for whatever there are), number of messages,
-- message…
-- Answers: {creation of the session or '', turn, run, worker, …} of those that it ended, and without
-- a turn of those that had ended before; or, if some have other events, {'unread', turn, run, …} of
-- these, and has done nothing
use(KEYS[1])
local history_bytes, journal_bytes = tonumber(ARGV[2]), tonumber(ARGV[3])
local event, worker = ARGV[4], ARGV[5]
local lost, unread = { get('created') or '' }, { 'unread' }
local ending = {}
local place = 6
while place <= #ARGV do
  local run, events, messages = ARGV[place], ARGV[place + 1], tonumber(ARGV[place + 2])
  local from = place + 3
  place = from + messages
  local turn = get('turn:' .. run)
  local owner = turn and get('worker:' .. turn)
  if not owner then
    for _, value in ipairs({ '', run, worker }) do
      lost[#lost + 1] = value
    end
  elseif worker == '' or worker == owner then
    ending[#ending + 1] = { turn, run, owner, from, place - 1 }
    if events ~= '' and tonumber(events) ~= redis.call('LLEN', journal(turn)) then
      unread[#unread + 1] = turn
      unread[#unread + 1] = run
    end
  end
end
if #unread > 1 then
  return unread
end
-- The runs come in any order; what leaves the journal depends on the order of the ends.
table.sort(ending, function(a, b) return tonumber(a[1]) < tonumber(b[1]) end)
for _, values in ipairs(ending) do
  local turn, run, owner, from, to = unpack(values)
  set('lost:' .. turn, event)
  redis.call('HINCRBY', s, 'bytes:' .. turn, #event)
  redis.call('HINCRBY', s, 'journal_bytes', #event)
  finish_turn(turn, from, to, history_bytes, journal_bytes)
  for _, value in ipairs({ turn, run, owner }) do
    lost[#lost + 1] = value
  end
end
return lost
