-- ARGV: ttl, lease, worker
use(KEYS[1])
if not exists() then
  return
end
follow(ARGV[3], tonumber(ARGV[2]))
local running = active()[1]
if running then
  push(get('worker:' .. running), 'follow', running)
end
