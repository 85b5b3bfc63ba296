-- Remove the dead letters that pass a filter, with the later copies of the same records; for `crmstream dead-letters purge`.
DELETE FROM dead_letters
WHERE (topic, stage, source, field, reason, content) IN
(
    SELECT topic, stage, source, field, reason, content
    FROM dead_letters FINAL
    WHERE toUnixTimestamp(entered_at) >= {since:UInt32} AND toUnixTimestamp(entered_at) < {before:UInt32}
        AND ({source:String} = '' OR source = {source:String})
        AND ({stage:String} = '' OR stage = {stage:String})
        AND ({topic:String} = '' OR topic = {topic:String})
        AND positionCaseInsensitive(reason, {reason:String}) > 0
)
