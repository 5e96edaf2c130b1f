-- ARGV: for how many milliseconds, the session, the turn
redis.call('SET', KEYS[1], ARGV[3] .. ' ' .. ARGV[2], 'PX', ARGV[1])
