-- ARGV: ttl, turn ('' for any)
-- Answers: nothing if the session is unknown or its newest turn is another, else {created, run, worker, …} of what ran and waited
use(KEYS[1])
if not exists() or (ARGV[2] ~= '' and ARGV[2] ~= get('newest')) then
  return false
end
local deleted = { get('created') }
for _, turn in ipairs(active()) do
  deleted[#deleted + 1] = get('run:' .. turn)
  deleted[#deleted + 1] = get('worker:' .. turn)
end
flag('', 'deleted')
push(get('owner'), 'moved', get('newest'))
for _, follower in ipairs(followers()) do
  push(follower, 'ended', get('newest'))
end
redis.call('ZREMRANGEBYSCORE', base .. 'x', '-inf', int(now))
for turn = number('first'), number('newest') do
  redis.call('ZADD', base .. 'x', int(now + ttl * 1000), stem(get('run:' .. int(turn))))
  redis.call('DEL', journal(int(turn)), records(int(turn)))
end
redis.call('ZREMRANGEBYRANK', base .. 'x', 0, -MAX_BANS - 1)
redis.call('PEXPIRE', base .. 'x', int(ttl))
for _, part in ipairs({ 's', 'm', 'k', 'o', 'f' }) do
  redis.call('DEL', base .. part)
end
return deleted
