-- One tenant: put before the scripts whose keys are a tenant's.
--   KEYS[1]  sorted set: turns that run and wait ("<session> <run>"), by the end of their lease
--   KEYS[2]  sorted set: sessions by creation (µs)
--   KEYS[3]  sorted set: sessions by expiry (µs)
--   KEYS[4]  sorted set: turns that wait for an answer of their user, as the first; in one of the two
--   KEYS[5]  hash: bytes that a session held when a turn of it last ended, by session; '' has their sum
-- A member of the first has no other life than its lease; the second and third have the same ones.

local TURNS, CREATED, EXPIRES, ASKING, STORED = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local CHUNK = 1000

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local ttl = tonumber(ARGV[1])

local function int(number)
  return string.format('%.0f', number)
end

local function note_stored(session, bytes)
  local before = tonumber(redis.call('HGET', STORED, session) or 0)
  if bytes > 0 then
    redis.call('HSET', STORED, session, int(bytes))
  else
    redis.call('HDEL', STORED, session)
  end
  if bytes ~= before then
    redis.call('HINCRBY', STORED, '', int(bytes - before))
  end
end

local function purge()
  redis.call('ZREMRANGEBYSCORE', TURNS, '-inf', int(now))
  redis.call('ZREMRANGEBYSCORE', ASKING, '-inf', int(now))
  repeat
    local gone = redis.call('ZRANGEBYSCORE', EXPIRES, '-inf', int(now), 'LIMIT', 0, CHUNK)
    if #gone > 0 then
      redis.call('ZREM', EXPIRES, unpack(gone))
      redis.call('ZREM', CREATED, unpack(gone))
      for _, session in ipairs(gone) do
        note_stored(session, 0)
      end
    end
  until #gone < CHUNK
end

local function renew()
  for _, key in ipairs({ TURNS, CREATED, EXPIRES, ASKING, STORED }) do
    redis.call('PEXPIRE', key, int(ttl))
  end
end

-- The later creation counts: that of the session before it may still be there.
local function keep_session(session, created)
  redis.call('ZADD', EXPIRES, int(now + ttl * 1000), session)
  redis.call('ZADD', CREATED, 'GT', created, session)
end

-- The code of what the tenant's sessions are too many or too large for, or nil.
local function refuse_session(session, most, most_bytes)
  if not redis.call('ZSCORE', EXPIRES, session) and redis.call('ZCARD', EXPIRES) >= most then
    return 'too_many_sessions'
  end
  if tonumber(redis.call('HGET', STORED, '') or 0) >= most_bytes then
    return 'too_much_stored'
  end
end

-- Strictly growing, so that a list by creation has one order.
local function new_creation()
  local last = redis.call('ZREVRANGE', CREATED, 0, 0, 'WITHSCORES')[2]
  return int(math.max(now, tonumber(last or 0) + 1))
end

-- Answers the session's creation.
local function keep_new_session(session)
  local known = redis.call('ZSCORE', CREATED, session)
  local created = known and int(tonumber(known)) or new_creation()
  keep_session(session, created)
  return created
end

local function is_known(member)
  return redis.call('ZSCORE', TURNS, member) or redis.call('ZSCORE', ASKING, member)
end

local function keep_turn(member, lease)
  local place = redis.call('ZSCORE', ASKING, member) and ASKING or TURNS
  redis.call('ZADD', place, int(now + math.min(lease, ttl) * 1000), member)
end
