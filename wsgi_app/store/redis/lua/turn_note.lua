-- ARGV: ttl, turn
-- Answers: the turn's note, or nothing
use(KEYS[1])
return get('note:' .. ARGV[2])
