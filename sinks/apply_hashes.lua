-- Sets the hashes of many customers, each only where the version stored is not newer than the one given, and the
-- customers' ranks with them. Returns how many hashes were set.
--
-- KEYS: the hash of each of n customers, then a sorted set per outcome.
-- ARGV: number of fields, number of outcomes, where the id begins in a key, name of the version field, names of the
--       fields; then columns of n values each: versions, seconds after which the hash expires (0: never, -1: the hash is
--       removed), each field (a zero byte removes it), each rank ('nan' removes it).
local fields, outcomes, id_at, version_field = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local n = #KEYS - outcomes
local versions_at = 4 + fields
local expires_at = versions_at + n
local fields_at = expires_at + n
local ranks_at = fields_at + fields * n

local applied = 0
local add, remove = {}, {}
for outcome = 1, outcomes do
  add[outcome], remove[outcome] = {}, {}
end

local function set_hash(i, key, version, expires)
  local set, absent = {version_field, version}, {}
  for field = 1, fields do
    local value = ARGV[fields_at + (field - 1) * n + i]
    if value == '\0' then
      absent[#absent + 1] = ARGV[4 + field]
    else
      set[#set + 1] = ARGV[4 + field]
      set[#set + 1] = value
    end
  end
  redis.call('HSET', key, unpack(set))
  if #absent > 0 then
    redis.call('HDEL', key, unpack(absent))
  end
  if expires > 0 then
    redis.call('EXPIRE', key, expires)
  end
end

for i = 1, n do
  local key, version, expires = KEYS[i], ARGV[versions_at + i], tonumber(ARGV[expires_at + i])
  local stored = tonumber(redis.call('HGET', key, version_field) or '')
  if not stored or stored <= tonumber(version) then
    applied = applied + 1
    if expires < 0 then
      redis.call('DEL', key)
    else
      set_hash(i, key, version, expires)
    end
    local id = string.sub(key, id_at, -2)
    for outcome = 1, outcomes do
      local rank = ARGV[ranks_at + (outcome - 1) * n + i]
      if rank == 'nan' then
        table.insert(remove[outcome], id)
      else
        table.insert(add[outcome], rank)
        table.insert(add[outcome], id)
      end
    end
  end
end

for outcome = 1, outcomes do
  local top = KEYS[n + outcome]
  if #add[outcome] > 0 then
    redis.call('ZADD', top, unpack(add[outcome]))
  end
  if #remove[outcome] > 0 then
    redis.call('ZREM', top, unpack(remove[outcome]))
  end
end
return applied
