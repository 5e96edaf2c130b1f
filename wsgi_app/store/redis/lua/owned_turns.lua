-- KEYS: from the second on, the turns of the worker that is asked about at the same place
-- ARGV: ttl, lease, worker and member of each
-- Answers: of each, whether a living worker owns it
local answers = {}
for place = 2, #KEYS do
  local worker, member = ARGV[2 * place - 1], ARGV[2 * place]
  local seen = tonumber(redis.call('ZSCORE', ALIVE, worker) or 0)
  local listed = tonumber(redis.call('ZSCORE', KEYS[place], member) or 0)
  local lease_ago = now - lease * 1000
  local owned = seen >= lease_ago and (listed >= seen or listed > lease_ago)
  answers[#answers + 1] = owned and 1 or 0
end
return answers
