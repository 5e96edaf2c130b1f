-- KEYS: the session of each fence, then those that the worker follows
-- ARGV: ttl, lease, worker, number of fences, turn and run of each fence
-- Answers of each fence: 'fenced', 'lost' (may be made again), or 'kept <created> <cancel or none>';
--   of each followed session: '<created> <newest turn>', or '' if it is unknown
local lease, worker, count = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])

local function adopt(turn, run)
  if is_banned(run) then
    return 'fenced'
  end
  local state = get('state:' .. turn)
  if not find(turn, run) or not state then
    return exists() and number('newest') >= tonumber(turn) and 'fenced' or 'lost'
  end
  if get('worker:' .. turn) ~= worker then
    set('worker:' .. turn, worker)
  end
  if state == 'running' and get('owner') ~= worker then
    set('owner', worker)
  end
  renew()
  return 'kept ' .. get('created') .. ' ' .. (get('cancel:' .. turn) or '')
end

local answers = {}
for place = 1, count do
  use(KEYS[place])
  answers[place] = adopt(ARGV[3 + 2 * place], ARGV[4 + 2 * place])
end
for place = count + 1, #KEYS do
  use(KEYS[place])
  local values = redis.call('HMGET', s, 'created', 'newest')
  answers[place] = values[1] and table.concat(values, ' ') or ''
  if values[1] then
    redis.call('ZADD', base .. 'f', int(now + lease * 1000), worker)
    redis.call('PEXPIRE', base .. 'f', int(lease))
  end
end
return answers
