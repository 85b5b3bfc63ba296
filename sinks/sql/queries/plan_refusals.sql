-- What tracking plans have refused since a moment, of some sources or (none named) of all; for `crmstream plan check`.
SELECT source, field, reason, count(), max(entered_at)
FROM dead_letters FINAL
WHERE stage = 'plan' AND toUnixTimestamp(entered_at) >= {since:UInt32}
    AND (empty({sources:Array(String)}) OR has({sources:Array(String)}, source))
GROUP BY source, field, reason
ORDER BY count() DESC, source, field, reason
LIMIT 1000
