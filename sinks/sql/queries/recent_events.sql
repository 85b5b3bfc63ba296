-- The events that came in since a moment, of some sources or (none named) of all; for `crmstream plan`.
SELECT source, kind, name, properties, received_at
FROM
(
    SELECT source, 'web' AS kind, name, properties, received_at FROM web_events FINAL
    UNION ALL
    SELECT source, 'transaction' AS kind, name, properties, received_at FROM transactions FINAL
    UNION ALL
    SELECT source, 'service' AS kind, name, properties, received_at FROM service_events FINAL
    UNION ALL
    SELECT source, 'identity' AS kind, name, properties, received_at FROM identity_events FINAL
)
WHERE toUnixTimestamp(received_at) >= {since:UInt32}
    AND (empty({sources:Array(String)}) OR has({sources:Array(String)}, source))
