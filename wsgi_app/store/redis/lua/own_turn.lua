-- ARGV: ttl, lease, member
note_turns(3)
