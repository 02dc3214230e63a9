-- Write one batch's partials of one unit and move its position, or nothing at all.
-- KEYS[1] is the unit's position, KEYS[2..] its partials; ARGV is from, to, TTL in ms, then one value per partial.
-- The position is "applied since target"; only `applied` is compared, and the rest is carried over.
-- Returns 'ok', 'same' (this batch is already in: an earlier reply was lost), 'absent', or the offset found.
local position = redis.call('GET', KEYS[1])
local applied = position and string.match(position, '^%d+')
if not applied then return 'absent' end
if applied == ARGV[2] then return 'same' end
if applied ~= ARGV[1] then return applied end
for i = 2, #KEYS do
  redis.call('SET', KEYS[i], ARGV[i + 2], 'PX', ARGV[3])
end
redis.call('SET', KEYS[1], ARGV[2] .. string.sub(position, #applied + 1))
return 'ok'
