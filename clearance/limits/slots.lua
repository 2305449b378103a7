-- Who may have a request under way? At most so many holders at once, each until a moment by this server's TIME.
--
-- KEYS[1]  hash; one key, so that it is lost whole or not at all. Its fields:
--            memory         names this memory: the run_id of the server that wrote it, and what its first asker drew.
--                           Another run_id has restarted, or has taken over, and may lack the last writes: forgotten.
--            opens_at       from when slots are given, in microseconds, and 0 from then on; not there until `open`
--            fence          the last token that was given; tokens only grow
--            held:<token>   until when this holder holds its slot, in microseconds
-- ARGV[1]  what is asked, and then its own arguments; lengths of time are in microseconds:
--   acquire  most holders, length of a lease, what to call a new memory
--            Returns {"held", memory, token}: a slot; {"wait", memory, microseconds}: none is free before that; or
--            {"new", memory, 0}: nothing is remembered, so nothing is given before `open`.
--   open     memory, how long from now no slot is given. Returns 1; 0 if it is another memory by now.
--   renew    memory, token, length of a lease. Returns 1: held for as long from now; 0: not held any more.
--   release  memory, token. Returns 1; 0 if it was not held any more.

local key = KEYS[1]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')

local memory = redis.call('HGET', key, 'memory')
if memory and string.sub(memory, 1, #run + 1) ~= run .. ':' then
  redis.call('DEL', key)
  memory = false
end

local function set(field, microseconds)
  redis.call('HSET', key, field, string.format('%.0f', microseconds))
end

-- Who holds a slot, and the moment at which the first of them holds it no longer. `longest`: this server's clock may be
-- set back, which must not make a lease longer.
local function holders(longest)
  local count, first = 0, math.huge
  local fields = redis.call('HGETALL', key)
  for place = 1, #fields, 2 do
    local field, value = fields[place], tonumber(fields[place + 1])
    if string.sub(field, 1, 5) == 'held:' then
      if value <= now then
        redis.call('HDEL', key, field)
      else
        if value > now + longest then
          value = now + longest
          set(field, value)
        end
        count, first = count + 1, math.min(first, value)
      end
    end
  end
  return count, first
end

local function acquire(most, lease, name)
  if not memory then
    memory = run .. ':' .. name
    redis.call('HSET', key, 'memory', memory)
  end
  local opens_at = tonumber(redis.call('HGET', key, 'opens_at'))
  if not opens_at then
    return { 'new', memory, 0 }
  end
  if opens_at > now then
    return { 'wait', memory, string.format('%.0f', opens_at - now) }
  end
  redis.call('HSET', key, 'opens_at', 0) -- once and for all: this server's clock may be set back
  local count, first = holders(lease)
  if count >= most then
    return { 'wait', memory, string.format('%.0f', first - now) }
  end
  local fence = math.max(now, (tonumber(redis.call('HGET', key, 'fence')) or 0) + 1)
  set('fence', fence)
  set('held:' .. string.format('%.0f', fence), now + lease)
  return { 'held', memory, string.format('%.0f', fence) }
end

local asked = ARGV[1]
if asked == 'acquire' then
  return acquire(tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4])
end
if memory ~= ARGV[2] then
  return 0
end
if asked == 'open' then
  -- Who says it first is right: what was under way when this memory began, each asker has seen in the ledger.
  redis.call('HSETNX', key, 'opens_at', string.format('%.0f', now + tonumber(ARGV[3])))
  return 1
end
local field = 'held:' .. ARGV[3]
local until_ = tonumber(redis.call('HGET', key, field))
if not until_ or until_ <= now then
  return 0
end
if asked == 'renew' then
  set(field, now + tonumber(ARGV[4]))
else
  redis.call('HDEL', key, field)
end
return 1
