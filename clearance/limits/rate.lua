-- May one more call of a group be made, by a sliding window? It is counted in the same step.
--
-- KEYS[1]  list, newest first: when each call of the group was counted, in microseconds of this server's TIME
-- KEYS[2]  list, newest first: the same of ordinary callers only; an urgent call is in KEYS[1] alone
-- ARGV[1]  calls that may be made in any window
-- ARGV[2]  calls that ordinary callers may make of these
-- ARGV[3]  length of the window in microseconds: a call counted at t is in it until, and not at, t + ARGV[3]
-- ARGV[4]  who asks: "ordinary" or "urgent"
-- Returns  0: the call was counted and may be made. Otherwise the microseconds until one may be; nothing was counted.
--
-- A list holds calls of the last window only, so no more than ARGV[1], and goes by itself a window after its last.

local window_us = tonumber(ARGV[3])
local keep_ms = math.ceil(window_us / 1000) + 1
local time = redis.call('TIME')
local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])

-- This server's clock may be set back, which would hold everybody for as long: what was counted moves with it.
local ahead_us = (tonumber(redis.call('LINDEX', KEYS[1], 0)) or now_us) - now_us
if ahead_us > 0 then
  for _, key in ipairs(KEYS) do
    for place, counted_us in ipairs(redis.call('LRANGE', key, 0, -1)) do
      redis.call('LSET', key, place - 1, string.format('%.0f', counted_us - ahead_us))
    end
    redis.call('PEXPIRE', key, keep_ms)
  end
end

-- By age and not by number: while two releases with two limits run, neither forgets what the other has counted.
local function forget_old(key)
  while (tonumber(redis.call('LINDEX', key, -1)) or now_us) <= now_us - window_us do
    redis.call('RPOP', key)
  end
end

-- There is room for one more of `most` as soon as the `most`-th newest has left the window.
local function until_room_us(key, most)
  local counted_us = tonumber(redis.call('LINDEX', key, most - 1))
  return counted_us and counted_us + window_us - now_us or 0
end

local function count(key)
  redis.call('LPUSH', key, string.format('%.0f', now_us))
  redis.call('PEXPIRE', key, keep_ms)
end

forget_old(KEYS[1])
forget_old(KEYS[2])

local wait_us = until_room_us(KEYS[1], tonumber(ARGV[1]))
if ARGV[4] == 'ordinary' then
  wait_us = math.max(wait_us, until_room_us(KEYS[2], tonumber(ARGV[2])))
end
if wait_us > 0 then
  return wait_us
end

count(KEYS[1])
if ARGV[4] == 'ordinary' then
  count(KEYS[2])
end
return 0
