-- What is said to a turn while it runs: put behind session.lua.

local function running_turn()
  for _, turn in ipairs(active()) do
    if get('state:' .. turn) == 'running' then
      return turn
    end
  end
  return nil
end

local function steer(turn, id)
  return 'steer:' .. turn .. ':' .. id
end

local function steers(turn)
  local ids = {}
  for id in string.gmatch(get('steers:' .. turn) or '', '%S+') do
    ids[#ids + 1] = id
  end
  return ids
end

local function forget_steer(turn, id)
  local left = {}
  for _, other in ipairs(steers(turn)) do
    if other ~= id then
      left[#left + 1] = other
    end
  end
  remove(steer(turn, id))
  if #left == 0 then
    remove('steers:' .. turn)
  else
    set('steers:' .. turn, table.concat(left, ' '))
  end
end
