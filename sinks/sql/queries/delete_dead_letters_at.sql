-- Remove dead letters that were published again, by their positions, with the copies of their records that entered Kafka
-- before: a record that has been rejected once more since then stays.
DELETE FROM dead_letters
WHERE (topic, log_partition, log_offset) IN {places:Array(Tuple(String, UInt16, UInt64))}
    OR toUnixTimestamp64Milli(entered_at) < {before:Int64}
        AND (topic, stage, source, field, reason, content) IN
        (
            SELECT topic, stage, source, field, reason, content
            FROM dead_letters
            WHERE (topic, log_partition, log_offset) IN {places:Array(Tuple(String, UInt16, UInt64))}
        )
