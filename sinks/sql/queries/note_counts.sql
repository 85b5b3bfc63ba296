-- The notes of the events that came in within the last 24 hours, by source, for `crmstream status`: first those on names
-- that resemble known ones (they may cost whole orders), then by frequency. An event written twice counts once; counts
-- beyond some ten thousands are estimates. Of very large tables a part is read, within 2 s.
SELECT source, note, uniq(customer_id, visitor, event_id) AS events
FROM
(
    SELECT source, properties, customer_id, visitor, event_id FROM web_events
    WHERE received_at >= now() - INTERVAL 1 DAY AND position(properties, '"crm_notes"') > 0
    UNION ALL
    SELECT source, properties, customer_id, visitor, event_id FROM transactions
    WHERE received_at >= now() - INTERVAL 1 DAY AND position(properties, '"crm_notes"') > 0
    UNION ALL
    SELECT source, properties, customer_id, visitor, event_id FROM service_events
    WHERE received_at >= now() - INTERVAL 1 DAY AND position(properties, '"crm_notes"') > 0
    UNION ALL
    SELECT source, properties, customer_id, visitor, event_id FROM identity_events
    WHERE received_at >= now() - INTERVAL 1 DAY AND position(properties, '"crm_notes"') > 0
)
ARRAY JOIN JSONExtract(properties, 'crm_notes', 'Array(String)') AS note
GROUP BY source, note
ORDER BY startsWith(note, 'name: ') DESC, events DESC, source, note
LIMIT {shown:UInt8}
SETTINGS max_execution_time = 2, timeout_overflow_mode = 'break'
