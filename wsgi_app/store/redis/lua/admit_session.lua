-- ARGV: ttl, session, max_sessions_per_tenant, max_stored_bytes_per_tenant
-- Returns {'', creation, 0}, or {'', creation, 1} where it is there already, or was a moment ago: then
-- it has its place once it is kept again, under that creation. Or {code, '', 0}
purge()
local known = redis.call('ZSCORE', EXPIRES, ARGV[2])
local code = not known and refuse_session(ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]))
if code then
  return { code, '', 0 }
end
local created = known and new_creation() or keep_new_session(ARGV[2])
renew()
return { '', created, known and 1 or 0 }
