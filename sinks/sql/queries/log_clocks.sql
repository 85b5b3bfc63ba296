-- Where the clock of one topic-partition entered a slot, by offset.
SELECT log_offset, max(toUnixTimestamp64Micro(clock))
FROM log_clocks
WHERE topic = {topic:String} AND log_partition = {partition:UInt16}
GROUP BY log_offset
ORDER BY log_offset
