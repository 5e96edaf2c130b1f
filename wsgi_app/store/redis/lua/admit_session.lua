-- ARGV: ttl, session, max_sessions_per_tenant, max_stored_bytes_per_tenant
-- Returns {'', created} or {code, ''}
purge()
local known = redis.call('ZSCORE', EXPIRES, ARGV[2])
local code = not known and refuse_session(ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]))
if code then
  return { code, '' }
end
local created = keep_new_session(ARGV[2])
renew()
return { '', created }
