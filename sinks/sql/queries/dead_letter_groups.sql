-- Dead letters by day and cause, the newest day first; for `crmstream dead-letters list`.
SELECT toDate(entered_at) AS day, topic, stage, source, field, reason, count() AS letters,
    max((entered_at, topic, log_partition, log_offset)) AS newest
FROM dead_letters FINAL
WHERE toUnixTimestamp(entered_at) >= {since:UInt32} AND toUnixTimestamp(entered_at) < {before:UInt32}
    AND ({source:String} = '' OR source = {source:String})
    AND ({stage:String} = '' OR stage = {stage:String})
    AND ({topic:String} = '' OR topic = {topic:String})
    AND positionCaseInsensitive(reason, {reason:String}) > 0
GROUP BY day, topic, stage, source, field, reason
ORDER BY day DESC, letters DESC, topic, stage, source, reason
LIMIT {shown:UInt32}
