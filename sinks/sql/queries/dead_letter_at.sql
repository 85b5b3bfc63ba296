-- One dead letter by its position in the log, with the bytes as they came.
SELECT topic, log_partition, log_offset, entered_at, stage, source, field, reason, error, key, body
FROM dead_letters FINAL
WHERE topic = {topic:String} AND log_partition = {partition:UInt16} AND log_offset = {offset:UInt64}
