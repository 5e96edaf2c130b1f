-- ARGV: ttl, lease, worker that follows a turn which has not ended or '', turn, seq, max_events,
--       max_bytes, mark of the turn's run or ''
-- Answers nothing for an unknown session, else {newest turn, missed, live turn or '', {turn, mark…},
-- piece…} where a piece is {turn, seq of its first event, {event…}, lost event or ''}
use(KEYS[1])
-- An answer that holds so many bytes takes no more events.
local MAX_BYTES = tonumber(ARGV[7])
local bytes = 0

-- See mark_of in store/values.py.
local function mark_of(turn)
  local run = get('run:' .. turn)
  return run and string.sub(redis.sha1hex(stem(run)), 1, 12) or ''
end

-- A turn's parts whose seqs have no hole: {events before, seq before}, in order, the first {0, 0}.
local function parts_of(turn)
  local parts = { { 0, 0 } }
  for before, seq in string.gmatch(get('jumps:' .. turn) or '', '(%d+):(%d+)') do
    parts[#parts + 1] = { tonumber(before), tonumber(seq) }
  end
  return parts
end

-- How many events a reader has seen that stands behind a seq, and in which part it is.
local function place_of(parts, seq)
  local place = #parts
  while parts[place][2] > seq do
    place = place - 1
  end
  local seen = parts[place][1] + seq - parts[place][2]
  return parts[place + 1] and math.min(seen, parts[place + 1][1]) or seen
end

-- A turn's events behind some, and whether these are all that there are; first few, as they may be large.
local function take(name, seen, room)
  local events, step = {}, 8
  while #events < room do
    local last = seen + math.min(#events + step, room) - 1
    local part = redis.call('LRANGE', journal(name), int(seen + #events), int(last))
    if #part == 0 then
      return events, true
    end
    for _, event in ipairs(part) do
      if bytes > 0 and bytes + #event > MAX_BYTES then
        return events, false
      end
      bytes = bytes + #event
      events[#events + 1] = event
    end
    step = 2 * step
  end
  return events, true
end

local after_turn, after_seq, room = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
if not exists() then
  return false
end
local newest = number('newest')
local dropped_turn, dropped_seq = number('dropped_turn'), number('dropped_seq')
local ahead = after_turn > newest or (ARGV[8] ~= '' and ARGV[8] ~= mark_of(int(after_turn)))
local before_dropped = after_turn < dropped_turn
  or (after_turn == dropped_turn and after_seq < dropped_seq)
local missed = ahead or (before_dropped and (after_turn > 0 or after_seq > 0))
if ahead then
  after_turn, after_seq = 0, 0
end

local live = ''
for _, turn in ipairs(active()) do
  if tonumber(turn) >= after_turn then
    live = turn
    break
  end
end

local follower, owner = ARGV[3], get('worker:' .. live)
if follower ~= '' and live ~= '' and owner ~= follower then
  follow(follower, tonumber(ARGV[2]))
  push(owner, 'follow', live)
end

local marks = newest > 0 and { int(newest), mark_of(int(newest)) } or {}
local answer = { int(newest), missed and 1 or 0, live, marks }
for turn = math.max(after_turn, number('first')), live == '' and newest or tonumber(live) do
  if room <= 0 then
    break
  end
  local name = int(turn)
  local after = turn == after_turn and after_seq or 0
  local parts = parts_of(name)
  local seen = place_of(parts, after)
  local events, whole = take(name, seen, room)
  room = whole and room - #events or 0
  local lost = room > 0 and after < LOST_SEQ and get('lost:' .. name) or ''
  if lost ~= '' then
    room = room - 1
  end
  if #events > 0 or lost ~= '' then
    marks[#marks + 1] = name
    marks[#marks + 1] = mark_of(name)
  end
  for place, part in ipairs(parts) do
    local last = place == #parts
    local from, to = math.max(seen, part[1]), last and seen + #events or parts[place + 1][1]
    to = math.min(to, seen + #events)
    if to > from or (last and lost ~= '') then
      local some = #parts == 1 and events or { unpack(events, from - seen + 1, to - seen) }
      answer[#answer + 1] = { name, int(part[2] + from - part[1] + 1), some, last and lost or '' }
    end
  end
end
return answer
