-- Copy one kind of facts. Without FINAL: an older record of an event that is still there counts as it did in the log.
-- No property of a web event counts in profiles. Blocks bound the memory.
INSERT INTO {copy:Identifier}
SELECT
    {kind:String}, log_partition, log_offset, event_id, name, customer_id, anonymous_id,
    toUnixTimestamp64Micro(occurred_at), toUnixTimestamp64Micro(received_at), if({kind:String} = 'web', '{}', properties)
FROM {facts:Identifier}
SETTINGS max_threads = 1, max_insert_threads = 1, min_insert_block_size_rows = 262144, min_insert_block_size_bytes = 67108864
