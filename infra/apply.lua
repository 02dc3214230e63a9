-- Write one batch's partials of one unit and move its position, or nothing at all.
-- KEYS[1] is the unit's position, KEYS[2..] its partials; ARGV is from, to, then one value per partial.
-- The position is "applied since target"; only `applied` is compared, and the rest is carried over.
-- Returns 'ok', 'same' (this batch is already in: an earlier reply was lost), 'absent', or the offset found.
local position = redis.call('GET', KEYS[1])
local applied = position and string.match(position, '^%d+')
if not applied then return 'absent' end
if applied == ARGV[2] then return 'same' end
if applied ~= ARGV[1] then return applied end
-- MSET in chunks costs half of a SET per key; it drops the keys' TTLs, which the sweep sets again
local chunk = 1000
for first = 2, #KEYS, chunk do
  local pairs_of_chunk, n = {}, 0
  for i = first, math.min(first + chunk - 1, #KEYS) do
    pairs_of_chunk[n + 1] = KEYS[i]
    pairs_of_chunk[n + 2] = ARGV[i + 1]
    n = n + 2
  end
  redis.call('MSET', unpack(pairs_of_chunk))
end
redis.call('SET', KEYS[1], ARGV[2] .. string.sub(position, #applied + 1))
return 'ok'
