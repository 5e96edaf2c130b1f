-- ARGV: ttl, history_bytes, journal_bytes, error, error after several attempts or '', most attempts,
-- lease, worker ('' for whichever), and for each run: run,
-- number of its events that its messages are made of ('' for whatever there are), number of messages,
-- message…
-- Answers: {creation of the session or '', how many it has spared, for another worker goes on with them,
-- turn, run, worker, …} of those that it ended, and without a turn of those that had ended before; or, if some have other events, {'unread', turn, run, …} of
-- these, and has done nothing
use(KEYS[1])
local history_bytes, journal_bytes = tonumber(ARGV[2]), tonumber(ARGV[3])
local event, event_again, worker = ARGV[4], ARGV[5], ARGV[8]
local lost, unread = { get('created') or '', 0 }, { 'unread', 0 }
local ending = {}
local place = 9

-- Turns that may be resumed have a lease's time for it.
local function is_spared(turn)
  local left = get('resume:' .. turn) and math.max(1, number('attempt:' .. turn)) < tonumber(ARGV[6])
  if not left or get('cancel:' .. turn) then
    return false
  end
  set_new('orphan:' .. turn, int(now))
  return now - number('orphan:' .. turn) < tonumber(ARGV[7]) * 1000
end

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
  elseif (worker == '' or worker == owner) and is_spared(turn) then
    lost[2] = lost[2] + 1
  elseif worker == '' or worker == owner then
    ending[#ending + 1] = { turn, run, owner, from, place - 1 }
    if events ~= '' and tonumber(events) ~= redis.call('LLEN', journal(turn)) then
      unread[#unread + 1] = turn
      unread[#unread + 1] = run
    end
  end
end
if #unread > 2 then
  return unread
end
-- The runs come in any order; what leaves the journal depends on the order of the ends.
table.sort(ending, function(a, b) return tonumber(a[1]) < tonumber(b[1]) end)
for _, values in ipairs(ending) do
  local turn, run, owner, from, to = unpack(values)
  local told = number('attempt:' .. turn) > 1 and event_again ~= '' and event_again or event
  set('lost:' .. turn, told)
  add_bytes(turn, #told)
  finish_turn(turn, from, to, history_bytes, journal_bytes, true)
  for _, value in ipairs({ turn, run, owner }) do
    lost[#lost + 1] = value
  end
end
return lost
