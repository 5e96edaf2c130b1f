-- KEYS: the tenant's starts
-- ARGV: the window's seconds
uncount_start(KEYS, tonumber(ARGV[1]))
