-- The most frequent notes of the events that came in within the last 24 hours, by source; for `crmstream status`. Those on
-- names come first and have places of their own, for such an event may not count as what it is.
-- An event written twice counts twice until ClickHouse merges the two. Of very large tables a part is read, within 2 s.
SELECT source, note, count() AS events
FROM
(
    SELECT source, properties FROM web_events
    WHERE received_at >= now() - INTERVAL 1 DAY AND position(properties, '"crm_notes"') > 0
    UNION ALL
    SELECT source, properties FROM transactions
    WHERE received_at >= now() - INTERVAL 1 DAY AND position(properties, '"crm_notes"') > 0
    UNION ALL
    SELECT source, properties FROM service_events
    WHERE received_at >= now() - INTERVAL 1 DAY AND position(properties, '"crm_notes"') > 0
    UNION ALL
    SELECT source, properties FROM identity_events
    WHERE received_at >= now() - INTERVAL 1 DAY AND position(properties, '"crm_notes"') > 0
)
ARRAY JOIN JSONExtract(properties, 'crm_notes', 'Array(String)') AS note
GROUP BY source, note
ORDER BY startsWith(note, 'name: ') DESC, events DESC, source, note
LIMIT {shown:UInt8} BY startsWith(note, 'name: ')
SETTINGS max_execution_time = 2, timeout_overflow_mode = 'break'
