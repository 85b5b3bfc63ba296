-- A page of the dead letters that pass a filter, by their positions in the log, with the bytes as they came.
SELECT topic, log_partition, log_offset, entered_at, stage, source, field, reason, error, key, body
FROM dead_letters FINAL
WHERE toUnixTimestamp(entered_at) >= {since:UInt32} AND toUnixTimestamp(entered_at) < {before:UInt32}
    AND ({source:String} = '' OR source = {source:String})
    AND ({stage:String} = '' OR stage = {stage:String})
    AND ({topic:String} = '' OR topic = {topic:String})
    AND positionCaseInsensitive(reason, {reason:String}) > 0
    AND (topic, log_partition, log_offset) > ({after_topic:String}, {after_partition:UInt16}, {after_offset:Int64})
ORDER BY topic, log_partition, log_offset
LIMIT {shown:UInt32}
