-- How many dead letters pass a filter; for `crmstream dead-letters`.
SELECT count()
FROM dead_letters FINAL
WHERE toUnixTimestamp(entered_at) >= {since:UInt32} AND toUnixTimestamp(entered_at) < {before:UInt32}
    AND ({source:String} = '' OR source = {source:String})
    AND ({stage:String} = '' OR stage = {stage:String})
    AND ({topic:String} = '' OR topic = {topic:String})
    AND positionCaseInsensitive(reason, {reason:String}) > 0
