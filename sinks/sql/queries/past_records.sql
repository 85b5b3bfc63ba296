-- The next records of one topic-partition, by offset. A record that was written twice as a fact comes once.
SELECT log_offset, event_id, name, customer_id, anonymous_id, occurred, received, properties
FROM {table:Identifier}
WHERE kind = {kind:String} AND log_partition = {partition:UInt16} AND log_offset >= {start:UInt64} AND log_offset < {end:UInt64}
ORDER BY log_offset
LIMIT 1 BY log_offset
LIMIT {most:UInt64}
SETTINGS max_threads = 1, max_block_size = 4096
