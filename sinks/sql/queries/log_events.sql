-- The next events of one topic-partition, by offset. An event that was written twice comes once.
SELECT
    log_offset, event_id, toString(name) AS name, toString(source) AS source, customer_id, anonymous_id,
    toUnixTimestamp64Micro(occurred_at) AS occurred, toUnixTimestamp64Micro(received_at) AS received, properties
FROM log_events
WHERE kind = {kind:String} AND log_partition = {partition:UInt16} AND log_offset >= {start:UInt64} AND log_offset < {end:UInt64}
ORDER BY log_offset, source DESC
LIMIT 1 BY log_offset
LIMIT {most:UInt64}
SETTINGS max_threads = 1, max_block_size = 4096
