-- What another worker goes on with: put behind session.lua before the scripts of a take-over.

-- The turn's question whose answer its worker does not have, or ''.
local function waiting_question(turn)
  return get('question_turn') == turn and not get('taken') and get('question_id') or ''
end

-- Whether a run's turn, which may wait for its place, may be gone on with, by its number; nil if not.
local function resumable(run, most_attempts)
  local turn = get('turn:' .. run)
  if not turn or not get('state:' .. turn) or get('cancel:' .. turn) then
    return nil
  end
  if not get('resume:' .. turn) or math.max(1, number('attempt:' .. turn)) >= most_attempts then
    return nil
  end
  return turn
end
