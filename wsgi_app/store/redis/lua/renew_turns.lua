-- ARGV: ttl, lease, then session, its creation, turn's member of each
local lease = tonumber(ARGV[2])
purge()
for place = 3, #ARGV, 3 do
  keep_session(ARGV[place], ARGV[place + 1])
  keep_turn(ARGV[place + 2], lease)
end
renew()
