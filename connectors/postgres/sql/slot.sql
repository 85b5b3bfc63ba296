SELECT
    slot_type, plugin, database, active, active_pid,
    coalesce(wal_status, '') AS wal_status, confirmed_flush_lsn,
    pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
                    confirmed_flush_lsn)::bigint AS lag_bytes
FROM pg_replication_slots
WHERE slot_name = %(name)s
