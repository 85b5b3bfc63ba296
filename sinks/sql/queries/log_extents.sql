-- The events of one kind by partition: where they begin and end in the log, how many stand before offset
-- `starts[partition + 1]`, and when the oldest was received.
SELECT
    log_partition, min(log_offset), max(log_offset),
    countIf(log_offset < arrayElement({starts:Array(UInt64)}, log_partition + 1)), min(received_at)
FROM log_events FINAL
WHERE kind = {kind:String}
GROUP BY log_partition
ORDER BY log_partition
