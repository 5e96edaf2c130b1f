-- KEYS: a name on the server in question
-- ARGV: for how long it is kept (ms)
-- Fails where the server refuses to write or to publish.
redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
redis.call('PUBLISH', string.match(KEYS[1], '^(.*)probe') .. 'signals:', '')
