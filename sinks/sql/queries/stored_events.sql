-- How many rows the tables of facts hold, by table; for `crmstream status`. It reads no rows, so an event written twice
-- counts twice until ClickHouse has merged its rows.
SELECT 'web_events' AS name, count() FROM web_events
UNION ALL
SELECT 'transactions', count() FROM transactions
UNION ALL
SELECT 'service_events', count() FROM service_events
UNION ALL
SELECT 'identity_events', count() FROM identity_events
