-- ARGV: ttl, note, creation of a session that is to be made or '', the note to be replaced,
--       message… of the new session
-- Returns {the session's creation, the bytes that it holds} where it has the note now, else nothing
use(KEYS[1])
local note, created, before = ARGV[2], ARGV[3], ARGV[4]
local is_new = not exists()
local kept = get('note:0') or ''
if is_new and created ~= '' then
  create(created)
  local bytes = 0
  for place = 5, #ARGV do
    bytes = bytes + #ARGV[place] - 1
  end
  push_all(base .. 'm', 5, #ARGV)
  keep(base .. 'm')
  set('history_bytes', int(bytes))
elseif is_new or created ~= '' or kept ~= before then
  if is_new or kept ~= note then
    return false
  end
end
set('note:0', note)
written()
return { get('created'), number('history_bytes') + number('journal_bytes') }
