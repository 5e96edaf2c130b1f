-- KEYS: the session's; behind an admission in the same round trip the worker's turns and the
--       tenant's keys, see workers.lua and tenant.lua
-- ARGV: ttl, run, worker, message, if_busy, key ('' or '=' and it), digest, max_queued_turns,
--       max_idempotency_keys, created ('' if the tenant may have no more), regenerates ('1' or '0'), note,
--       what another worker would go on with or '',
--       with further keys: session, turn's members in the worker's and in the tenant's
-- Answers: {state, turn, {message…}, whether it is followed, owner before or nothing}, {'refused', code, turn} or {'unadmitted'}
use(KEYS[1])
local run, worker, message, if_busy, key, digest = unpack(ARGV, 2, 7)
local max_queued, max_keys, created = tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[10]
if #KEYS > 1 then
  local _, own, turns, known, _, asking = unpack(KEYS)
  local is_admitted = redis.call('ZSCORE', own, ARGV[15])
    and (redis.call('ZSCORE', turns, ARGV[16]) or redis.call('ZSCORE', asking, ARGV[16]))
  created = is_admitted and int(redis.call('ZSCORE', known, ARGV[14]) or now) or ''
end

fetch('created', 'updated', 'swept', 'newest', 'first', 'active', 'owner', 'history_bytes',
  'journal_bytes', 'turn:' .. run)

local function begun(turn, owner)
  local state = get('state:' .. turn)
  if state == 'running' then
    return { 'started', turn, history(turn), #followers() > 0 and 1 or 0, owner }
  end
  return { state and 'queued' or 'attached', turn, {} }
end

local function find_earlier()
  local turn = get('turn:' .. run)
  if turn then
    return begun(turn)
  end
  local known = key ~= '' and redis.call('HGET', base .. 'k', key)
  if not known then
    return nil
  end
  local number_of_turn, known_digest = string.match(known, '^(%d+) (.*)$')
  if known_digest ~= digest then
    return { 'refused', 'idempotency_key_reused' }
  end
  return { 'attached', number_of_turn, {} }
end

local function refusal()
  local turns = active()
  if #turns == 0 then
    return nil
  end
  if if_busy == 'reject' then
    return { 'refused', 'session_busy', turns[1] }
  end
  local waiting = 0
  for _, turn in ipairs(turns) do
    if get('state:' .. turn) == 'queued' and not get('cancel:' .. turn) then
      waiting = waiting + 1
    end
  end
  if if_busy == 'enqueue' and waiting >= max_queued then
    return { 'refused', 'queue_full' }
  end
  return nil
end

local known = exists()
local answer = known and (find_earlier() or refusal())
if answer then
  return answer
end
if created == '' then
  return { 'unadmitted' }
end
if not known then
  create(created)
elseif if_busy == 'interrupt' then
  flag('', 'interrupted')
end
local owner, idle = get('owner'), get('active') == ''
local turn = int(number('newest') + 1)
add(turn, run, worker)
set('message:' .. turn, message)
if ARGV[12] ~= '' then
  set('note:' .. turn, ARGV[12])
  add_bytes(turn, #ARGV[12])
end
if ARGV[13] ~= '' then
  set('resume:' .. turn, ARGV[13])
end
if key ~= '' then
  remember_key(turn, key, digest, max_keys)
end
if idle then
  if ARGV[11] == '1' then
    forget_exchange()
  end
  start(turn)
end
push_moved(owner)
redis.call('ZREM', base .. 'x', run)
written()
return begun(turn, owner)
