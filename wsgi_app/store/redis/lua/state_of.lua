-- ARGV: ttl
-- Returns nothing for an unknown session, else {newest turn, active turns, owner, created, updated}
use(KEYS[1])
return state_of()
