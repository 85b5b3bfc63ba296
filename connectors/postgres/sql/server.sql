SELECT
    current_setting('server_version_num')::int AS version,
    current_setting('wal_level') AS wal_level,
    current_database() AS database,
    current_user AS role,
    (SELECT system_identifier FROM pg_control_system()) AS system_identifier,
    (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user) AS may_replicate,
    pg_is_in_recovery() AS is_standby
