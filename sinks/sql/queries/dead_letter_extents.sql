-- Where the dead letters of one topic begin and end in the log, by partition.
SELECT log_partition, min(log_offset), max(log_offset)
FROM dead_letters
WHERE topic = {topic:String}
GROUP BY log_partition
ORDER BY log_partition
