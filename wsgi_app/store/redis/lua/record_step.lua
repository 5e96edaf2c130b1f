-- ARGV: ttl, turn, run, first_seq, number of the record, most bytes of all, record,
-- what another worker would go on with ('' if that is known), event…
-- Answers: what append.lua does
use(KEYS[1])
local turn, run, first_seq = ARGV[2], ARGV[3], tonumber(ARGV[4])
local place, most, record, order = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], ARGV[8]
local found, revived = find_running(turn, run)
if not found then
  return 'fenced'
end
local last_seq, followed = append_events(turn, first_seq, 9)

local function note()
  local known = redis.call('LLEN', records(turn))
  if place <= known then
    return  -- it is the same call again
  end
  local bytes = redis.call('HINCRBY', s, 'recorded:' .. turn, #record)
  if place > known + 1 or bytes > most or not (order ~= '' or get('resume:' .. turn)) then
    -- Without all of its steps it cannot be gone on with.
    forget_resume(turn)
    return
  end
  if order ~= '' then
    set_new('resume:' .. turn, order)
  end
  redis.call('RPUSH', records(turn), record)
  keep(records(turn))
end

if last_seq >= first_seq + #ARGV - 9 then
  note()
end
return { last_seq, get('cancel:' .. turn) or '', followed, revived }
