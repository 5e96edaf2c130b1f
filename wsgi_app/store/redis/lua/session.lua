-- One session: put before every script whose first key is a session's.
--
-- All keys of a session share a slot and begin alike; `use` names them:
--   …:s      hash: created, updated, swept (µs), newest, first (lowest kept turn), active ("3,4"),
--            owner, dropped_turn and dropped_seq (the last event no longer kept), history_bytes,
--            journal_bytes, question_turn, question_id, answer, answer_nonce,
--            note:0 (of the session itself),
--            of each kept turn: run:3, bytes:3, note:3, and lost:3 (the terminal event of a dead
--            worker),
--            of those that have not ended: state:3 (queued or running), worker:3,
--            before:3 (messages in the history at its start), message:3 (while queued), cancel:3,
--            order:3 (offered to another worker; empty once a worker took it), began:3 (µs), and
--            what another worker goes on with if its own dies, see resume.lua: resume:3 (what its run is made from),
--            attempt:3 (from 2 on), recorded:3 (bytes), orphan:3 (since when it has no worker, µs),
--            what is said to it while it runs: steers:3 ("id id"), and of each steer:3:<id> ("w" while
--            it waits for the turn's worker, then "t", and the message);
--            of those with several attempts: jumps:3 ("10:1000000,…": behind 10 events seqs go on
--            from there), and turn:<run id>, its number
--   …:m      list: the history's messages, "u" (of a user, where a turn began) or "-" and JSON
--   …:k, :o  hash and list: idempotency keys ("3 digest") and their order
--   …:f      sorted set: workers that follow, by the end of their lease
--   …:x      sorted set: runs that were deleted with their session, by the end of their ban
--   …:t:3    list: a turn's events, in order from seq 1
--   …:r:3    list: the records of its steps
--
-- The hash alone says whether there is a session: the others live somewhat longer, so that they
-- need not be renewed with every write.

local LOST_SEQ = 1000000000
-- More at once would not fit on Lua's stack.
local CHUNK = 4000
local MAX_BANS = 10000

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local ttl = tonumber(ARGV[1])
-- `fields` is what this script has read and written of the hash: a read costs a call of Redis.
local s, base, fields

local function int(number)
  return string.format('%.0f', number)
end

local function use(key)
  s, base, fields = key, string.sub(key, 1, -2), {}
end

-- Reads many fields at once, for what `get` is asked for later.
local function fetch(...)
  for place, value in ipairs(redis.call('HMGET', s, ...)) do
    fields[select(place, ...)] = value
  end
end

local function get(field)
  local value = fields[field]
  if value == nil then
    value = redis.call('HGET', s, field)
    fields[field] = value
  end
  return value
end

local function number(field)
  return tonumber(get(field) or 0)
end

local function set(...)
  redis.call('HSET', s, ...)
  for place = 1, select('#', ...), 2 do
    local field, value = select(place, ...)
    fields[field] = tostring(value)
  end
end

local function set_new(field, value)
  if not get(field) then
    set(field, value)
  end
end

local function add_to(field, amount)
  set(field, int(number(field) + amount))
end

local function remove(...)
  redis.call('HDEL', s, ...)
  for place = 1, select('#', ...) do
    fields[select(place, ...)] = false
  end
end

local function add_bytes(turn, bytes)
  set('bytes:' .. turn, int(number('bytes:' .. turn) + bytes),
    'journal_bytes', int(number('journal_bytes') + bytes))
end

local function journal(turn)
  return base .. 't:' .. turn
end

local function records(turn)
  return base .. 'r:' .. turn
end

local function exists()
  return get('created') ~= false
end

local function state_of()
  local values = redis.call('HMGET', s, 'newest', 'active', 'owner', 'created', 'updated')
  return values[1] and values
end

-- Lifetimes

local function keep(key)
  redis.call('PEXPIRE', key, int(ttl + ttl / 8 + 1000))
end

local function renew()
  redis.call('PEXPIRE', s, int(ttl))
  if (now - number('swept')) / 1000 <= ttl / 8 then
    return
  end
  set('swept', int(now))
  for _, part in ipairs({ 'm', 'k', 'o' }) do
    keep(base .. part)
  end
  for turn = number('first'), number('newest') do
    keep(journal(int(turn)))
  end
end

local function written()
  set('updated', int(math.max(now, number('updated'))))
  renew()
end

local function create(created)
  redis.call('DEL', base .. 'm', base .. 'k', base .. 'o', base .. 'f')
  set('created', created, 'updated', created, 'swept', int(now), 'newest', 0, 'first', 1,
    'active', '', 'owner', '', 'history_bytes', 0, 'journal_bytes', 0)
end

-- Signals

local function push(worker, kind, turn, value)
  local tag = string.match(s, '{(.*)}')
  local signal = table.concat({ kind, tag, turn, int(now), value or '' }, ' ')
  redis.call('PUBLISH', string.match(s, '^[^{]*') .. 'signals:' .. worker, signal)
end

local function push_moved(owner_before)
  if owner_before ~= '' and owner_before ~= get('owner') then
    push(owner_before, 'moved', get('newest'))
  end
end

-- Has a worker told of the session's events, for a lease from now.
local function follow(worker, lease)
  redis.call('ZREMRANGEBYSCORE', base .. 'f', '-inf', int(now))
  redis.call('ZADD', base .. 'f', int(now + lease * 1000), worker)
  redis.call('PEXPIRE', base .. 'f', int(lease))
end

local function followers()
  return redis.call('ZRANGEBYSCORE', base .. 'f', '(' .. int(now), '+inf')
end

-- Turns; a turn's number is a string

local function active()
  local turns = {}
  for turn in string.gmatch(get('active') or '', '%d+') do
    turns[#turns + 1] = turn
  end
  return turns
end

local function add(turn, run, worker)
  local turns = active()
  turns[#turns + 1] = turn
  redis.call('DEL', journal(turn))
  set('newest', turn, 'active', table.concat(turns, ','), 'turn:' .. run, turn,
    'run:' .. turn, run, 'worker:' .. turn, worker, 'state:' .. turn, 'queued',
    'bytes:' .. turn, 0)
end

local function start(turn)
  local message = get('message:' .. turn)
  set('state:' .. turn, 'running', 'owner', get('worker:' .. turn), 'began:' .. turn, int(now),
    'before:' .. turn, redis.call('LLEN', base .. 'm'))
  remove('message:' .. turn)
  redis.call('RPUSH', base .. 'm', message)
  add_to('history_bytes', #message - 1)
  keep(base .. 'm')
end

local function history(turn)
  local count = number('before:' .. turn)
  return count > 0 and redis.call('LRANGE', base .. 'm', 0, count - 1) or {}
end

-- Takes the newest exchange out of the history: a user's message and all behind it.
local function forget_exchange()
  local bytes, message = 0, ''
  repeat
    message = redis.call('RPOP', base .. 'm')
    bytes = bytes + (message and #message - 1 or 0)
  until not message or string.sub(message, 1, 1) == 'u'
  if bytes > 0 then
    add_to('history_bytes', -bytes)
  end
end

local function flag(only, reason)
  local flagged = {}
  for _, turn in ipairs(active()) do
    if only == '' or only == turn then
      set_new('cancel:' .. turn, reason)
      push(get('worker:' .. turn), 'cancel', turn, get('cancel:' .. turn))
      flagged[#flagged + 1] = turn
    end
  end
  return flagged
end

local function drop(turn)
  add_to('journal_bytes', -number('bytes:' .. turn))
  remove('turn:' .. get('run:' .. turn), 'run:' .. turn, 'bytes:' .. turn, 'lost:' .. turn,
    'note:' .. turn, 'jumps:' .. turn)
  redis.call('DEL', journal(turn), records(turn))
end

-- Fences

-- What the runs of a turn's attempts have in common.
local function stem(run)
  return string.match(run, '^[^~]*')
end

local function is_banned(run)
  return tonumber(redis.call('ZSCORE', base .. 'x', stem(run)) or 0) > now
end

local function find(turn, run)
  return get('run:' .. turn) == run
end

local function revive(turn, run)
  local number_of_turn = tonumber(turn)
  if number_of_turn > number('newest') + 1 then
    -- The turns between are lost: keeping older ones would hide that from readers.
    for old = number('first'), number('newest') do
      drop(int(old))
    end
    set('dropped_turn', int(number_of_turn - 1), 'dropped_seq', LOST_SEQ, 'first', turn)
  end
  add(turn, run, '')
  set('state:' .. turn, 'running')
  written()
end

-- Whether the fence holds, and if the turn was made again the session's creation, else ''.
local function find_or_revive(turn, run)
  if is_banned(run) then
    return false, ''
  end
  if not exists() then
    create(int(now))
  end
  if tonumber(turn) > number('newest') and get('active') == '' then
    revive(turn, run)
    return true, get('created')
  end
  return find(turn, run), ''
end

local function find_running(turn, run)
  local found, revived = find_or_revive(turn, run)
  return found and get('state:' .. turn) == 'running', revived
end

-- Journal

local function push_all(key, first, last)
  for from = first, last, CHUNK do
    redis.call('RPUSH', key, unpack(ARGV, from, math.min(last, from + CHUNK - 1)))
  end
end

-- Adds the events ARGV[from] to ARGV[to], the first of which has this seq; answers the last seq.
local function store_events(turn, first_seq, from, to)
  local stored = redis.call('LLEN', journal(turn))
  if first_seq > stored + 1 then
    return stored
  end
  local new = from + stored + 1 - first_seq
  if new > to then
    return stored
  end
  local bytes = 0
  for place = new, to do
    bytes = bytes + #ARGV[place]
  end
  push_all(journal(turn), new, to)
  keep(journal(turn))
  add_bytes(turn, bytes)
  return stored + to - new + 1
end

local function push_events(turn, workers)
  for _, worker in ipairs(workers) do
    push(worker, 'events', turn)
  end
end

-- Adds a running turn's events from ARGV[from] on; answers the last seq and whether it is followed.
local function append_events(turn, first_seq, from)
  local stored = redis.call('LLEN', journal(turn))
  local last_seq = store_events(turn, first_seq, from, #ARGV)
  written()
  local workers = followers()
  if last_seq > stored then
    push_events(turn, workers)
  end
  return last_seq, #workers > 0 and 1 or 0
end

-- Questions

local function ask(turn, request_id)
  if get('question_turn') ~= turn or get('question_id') ~= request_id then
    set('question_turn', turn, 'question_id', request_id)
    remove('answer', 'answer_nonce', 'taken')
  end
end

-- Resuming

-- No other worker goes on with this turn any more.
local function forget_resume(turn)
  remove('resume:' .. turn, 'recorded:' .. turn, 'orphan:' .. turn)
  redis.call('DEL', records(turn))
end

local function close_question()
  remove('question_turn', 'question_id', 'answer', 'answer_nonce', 'taken')
end
