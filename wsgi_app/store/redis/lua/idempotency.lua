-- Idempotency keys: put behind session.lua.

local function remember_key(turn, key, digest, most)
  redis.call('HSET', base .. 'k', key, turn .. ' ' .. digest)
  redis.call('RPUSH', base .. 'o', key)
  while redis.call('LLEN', base .. 'o') > most do
    redis.call('HDEL', base .. 'k', redis.call('LPOP', base .. 'o'))
  end
  keep(base .. 'k')
  keep(base .. 'o')
end
