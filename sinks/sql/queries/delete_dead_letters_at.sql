-- Removes dead letters by their places in the log: they were published again.
DELETE FROM dead_letters
WHERE (topic, log_partition, log_offset) IN {places:Array(Tuple(String, UInt16, UInt64))}
