-- Token buckets that several gateways share; step by step the arithmetic of memory.py, which says
-- what the numbers mean. Runs as a whole: between its first and last line nobody else reads or writes.
--
-- KEYS   one bucket each; the same one may come twice
-- ARGV   "take" or "give back"; the time in microseconds, empty for the server's own;
--        then for each bucket an amount and what it allows a minute
-- Returns nothing, or for a take that was refused: the number of the charge that waits longest, and
-- its microseconds, -1 for never.

local PER_TOKEN = 60000000

local now = tonumber(ARGV[2])
local own_time = now == nil
if own_time then
    local time = redis.call('TIME')
    now = time[1] * 1000000 + time[2]
end

local buckets = {}

local function refilled(key, per_minute)
    local stored = redis.call('GET', key)
    if not stored then
        return {used = 0, rate = per_minute, asked = 0}
    end
    local used, rate, at = string.match(stored, '^(%S+) (%S+) (%S+)$')
    used, rate, at = tonumber(used), tonumber(rate), tonumber(at)
    if now > at then
        used = math.max(0, used - (now - at) * rate)
    end
    if used == 0 then
        rate = per_minute
    end
    return {used = used, rate = rate, asked = 0}
end

-- 17 digits tell any float exactly. A bucket that is full is one that is not there.
local function store(key, used, rate)
    if used <= 0 then
        redis.call('DEL', key)
        return
    end
    local text = string.format('%.17g %.17g %.17g', used, rate, now)
    if own_time then
        local full_ms = math.min(math.ceil(used / rate / 1000) + 1, 9e12)
        redis.call('SET', key, text, 'PX', string.format('%.0f', full_ms))
    else
        redis.call('SET', key, text)
    end
end

if ARGV[1] == 'give back' then
    local amount, per_minute = tonumber(ARGV[3]), tonumber(ARGV[4])
    local bucket = refilled(KEYS[1], math.max(per_minute, 1))
    store(KEYS[1], math.max(0, bucket.used - amount * PER_TOKEN), bucket.rate)
    return false
end

local fit = true
for i, key in ipairs(KEYS) do
    local amount, per_minute = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
    local bucket = buckets[key]
    if not bucket then
        bucket = refilled(key, per_minute)
        bucket.before = bucket.used
        buckets[key] = bucket
    end
    bucket.asked = bucket.asked + amount
    bucket.used = bucket.used + amount * PER_TOKEN
    local fits = bucket.used <= per_minute * PER_TOKEN
    if per_minute > bucket.rate or fits then
        bucket.rate = per_minute
    end
    fit = fit and fits
end

local longest, refused = -1, 0
if not fit then
    for i, key in ipairs(KEYS) do
        local bucket, per_minute = buckets[key], tonumber(ARGV[2 * i + 2])
        local over, wait = bucket.used - per_minute * PER_TOKEN, 0
        if over > 0 then
            wait = bucket.asked > per_minute and math.huge or math.ceil(over / bucket.rate)
        end
        if wait > longest then
            longest, refused = wait, i
        end
    end
end

for key, bucket in pairs(buckets) do
    store(key, fit and bucket.used or bucket.before, bucket.rate)
end

if fit then
    return false
end
return {refused, longest == math.huge and '-1' or string.format('%.17g', longest)}
