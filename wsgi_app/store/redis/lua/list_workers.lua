-- ARGV: ttl, lease, how long they are watched from now (ms, optional)
-- Answers: the living workers, each with its last heartbeat (µs) and what it told then
if ARGV[3] then
  redis.call('SET', WATCHED, '1', 'PX', ARGV[3])
end
local found = redis.call('ZRANGEBYSCORE', ALIVE, int(now - lease * 1000), '+inf', 'WITHSCORES')
local answer = {}
for place = 1, #found, 2 do
  answer[#answer + 1] = found[place]
  answer[#answer + 1] = found[place + 1]
  answer[#answer + 1] = redis.call('HGET', INFO, found[place]) or '{}'
end
return answer
