-- The end of a turn: put behind session.lua before the scripts that end one.

-- Drops whole old exchanges, each from a user's message up to the next one.
local function trim_history(limit)
  local size = number('history_bytes')
  if size <= limit then
    return
  end
  local messages = redis.call('LRANGE', base .. 'm', 0, -1)
  local first, pending = 1, 0
  for place, message in ipairs(messages) do
    if string.sub(message, 1, 1) == 'u' then
      if size <= limit then
        break
      end
      size = size - pending
      first, pending = place, 0
    end
    pending = pending + #message - 1
  end
  if first > 1 then
    redis.call('LTRIM', base .. 'm', first - 1, -1)
    set('history_bytes', int(size))
  end
end

-- The seq of a turn's last event.
local function last_seq_of(turn)
  if get('lost:' .. turn) then
    return LOST_SEQ
  end
  local before, seq = string.match(get('jumps:' .. turn) or '', '(%d+):(%d+)$')
  return redis.call('LLEN', journal(turn)) + (before and seq - before or 0)
end

local function trim_journal(ended, limit)
  local first = number('first')
  while number('journal_bytes') > limit do
    local turn = int(first)
    if turn == ended or get('state:' .. turn) then
      break
    end
    local last_seq = last_seq_of(turn)
    drop(turn)
    first = first + 1
    set('dropped_turn', turn, 'dropped_seq', int(last_seq), 'first', int(first))
  end
end

local function push_ended(turn, worker, is_lost)
  local workers = {}
  for _, other in ipairs(active()) do
    workers[get('worker:' .. other)] = true
  end
  for _, follower in ipairs(followers()) do
    workers[follower] = true
  end
  workers[worker] = is_lost or nil  -- who writes an end knows it
  for name in pairs(workers) do
    push(name, 'ended', turn)
  end
end

-- Ends a turn whose terminal event is written; its messages are ARGV[from] to ARGV[to].
local function finish_turn(turn, from, to, history_bytes, journal_bytes, is_lost)
  local worker = get('worker:' .. turn)
  if get('state:' .. turn) == 'running' then
    local bytes = 0
    for place = from, to do
      bytes = bytes + #ARGV[place] - 1
    end
    push_all(base .. 'm', from, to)
    keep(base .. 'm')
    add_to('history_bytes', bytes)
    trim_history(history_bytes)
  end
  for _, id in ipairs(steers(turn)) do
    remove(steer(turn, id))
  end
  remove('state:' .. turn, 'steers:' .. turn, 'worker:' .. turn, 'before:' .. turn, 'message:' .. turn,
    'cancel:' .. turn, 'order:' .. turn, 'began:' .. turn, 'attempt:' .. turn)
  forget_resume(turn)
  local turns = {}
  for _, other in ipairs(active()) do
    if other ~= turn then
      turns[#turns + 1] = other
    end
  end
  set('active', table.concat(turns, ','))
  if get('question_turn') == turn then
    close_question()
  end
  trim_journal(turn, journal_bytes)
  written()
  push_ended(turn, worker, is_lost)
  return worker
end
