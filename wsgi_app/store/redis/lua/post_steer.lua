-- ARGV: ttl, id, message, most messages, worker that follows or '', lease
-- Answers: {turn, seq behind which its event will be}, or {'', reason}
use(KEYS[1])
local id, message, follower = ARGV[2], ARGV[3], ARGV[5]
local turn = running_turn()
if not turn or get('cancel:' .. turn) then
  return { '', 'not_steerable' }
end
if not get(steer(turn, id)) then
  local ids = steers(turn)
  if #ids >= tonumber(ARGV[4]) then
    return { '', 'too_many_steers' }
  end
  ids[#ids + 1] = id
  set('steers:' .. turn, table.concat(ids, ' '), steer(turn, id), 'w' .. message)
  written()
end
if follower ~= '' then
  follow(follower, tonumber(ARGV[6]))
end
push(get('worker:' .. turn), 'steer', turn)
return { turn, get('jumps:' .. turn) and '0' or int(redis.call('LLEN', journal(turn))) }
