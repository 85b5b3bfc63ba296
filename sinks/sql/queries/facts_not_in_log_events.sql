-- How many facts of one kind, by partition, stand before offset `starts[partition + 1]` and are not in log_events. Sets of
-- offsets are bitmaps: about a bit for each.
SELECT log_partition, bitmapAndnotCardinality(facts, logged) AS missing
FROM
(
    SELECT log_partition, groupBitmapStateIf(log_offset, is_fact) AS facts, groupBitmapStateIf(log_offset, NOT is_fact) AS logged
    FROM
    (
        SELECT log_partition, log_offset, true AS is_fact
        FROM {table:Identifier}
        WHERE log_offset < arrayElement({starts:Array(UInt64)}, log_partition + 1)
        UNION ALL
        SELECT log_partition, log_offset, false AS is_fact
        FROM log_events
        WHERE kind = {kind:String} AND log_offset < arrayElement({starts:Array(UInt64)}, log_partition + 1)
    )
    GROUP BY log_partition
)
WHERE missing > 0
ORDER BY log_partition
