-- ARGV: ttl, turn or '', reason
-- Answers: the flagged turns
use(KEYS[1])
return flag(ARGV[2], ARGV[3])
