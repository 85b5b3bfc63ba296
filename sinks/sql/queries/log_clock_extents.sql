-- Where the clocks of one topic begin and end in the log, by partition.
SELECT log_partition, min(log_offset), max(log_offset)
FROM log_clocks
WHERE topic = {topic:String}
GROUP BY log_partition
ORDER BY log_partition
