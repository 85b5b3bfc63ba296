-- Copies of tables that a migration made and did not drop, because its run died: older than a day, no run takes so long.
SELECT name
FROM system.tables
WHERE database = currentDatabase() AND match(name, '_new_[0-9a-f]{8}$')
    AND metadata_modification_time < now() - INTERVAL 1 DAY
ORDER BY name
