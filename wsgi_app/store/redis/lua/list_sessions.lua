-- ARGV: ttl, number, and the creation and name of the session before the first, or ''
-- Answers: {session, created, …}, newest first
local count, before, name = tonumber(ARGV[2]), ARGV[3], ARGV[4]
purge()
local found = {}
local top = '+inf'
if before ~= '' then
  top = '(' .. before
  -- Those of the same time come in the order of their names.
  for _, session in ipairs(redis.call('ZREVRANGEBYSCORE', CREATED, before, before)) do
    if session < name and #found < 2 * count then
      found[#found + 1] = session
      found[#found + 1] = before
    end
  end
end
local rest = count - #found / 2
if rest > 0 then
  local rows = redis.call('ZREVRANGEBYSCORE', CREATED, top, '-inf', 'WITHSCORES', 'LIMIT', 0, rest)
  for place = 1, #rows, 2 do
    found[#found + 1] = rows[place]
    found[#found + 1] = int(tonumber(rows[place + 1]))
  end
end
return found
