-- The workers: put before the scripts whose keys are theirs, which share one slot.
--   KEYS[1]  sorted set: workers by their last heartbeat (µs)
--   KEYS[2]  sorted set: the turns of one worker ("<session's tag> <run>"), by when it last listed
--            them or, before that, began them (µs)
-- and …:info, a hash: what each worker told of itself with its last heartbeat (JSON);
-- …:watched, there while somebody wants to know of their turns;
-- …:gone, a sorted set: workers whose end is known, until their turns are looked after (µs)

local ALIVE, TURNS = KEYS[1], KEYS[2]
local INFO = ALIVE .. ':info'
local WATCHED = ALIVE .. ':watched'
local GONE = ALIVE .. ':gone'
local CHUNK = 2000

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local ttl, lease = tonumber(ARGV[1]), tonumber(ARGV[2])

local function int(number)
  return string.format('%.0f', number)
end

local function note_turns(from)
  for place = from, #ARGV, CHUNK do
    local pairs_of_score = {}
    for member = place, math.min(#ARGV, place + CHUNK - 1) do
      pairs_of_score[#pairs_of_score + 1] = int(now)
      pairs_of_score[#pairs_of_score + 1] = ARGV[member]
    end
    redis.call('ZADD', TURNS, unpack(pairs_of_score))
  end
  redis.call('PEXPIRE', TURNS, int(ttl))
end
