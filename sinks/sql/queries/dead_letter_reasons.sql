-- The most frequent reasons of the dead letters of the last 24 hours; for `crmstream status`.
SELECT reason, count() AS letters
FROM dead_letters FINAL
WHERE entered_at >= now() - INTERVAL 1 DAY
GROUP BY reason
ORDER BY letters DESC, reason
LIMIT {shown:UInt8}
