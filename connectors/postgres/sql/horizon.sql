SELECT
    pg_snapshot_xmin(pg_current_snapshot()) AS horizon,
    pg_snapshot_xmax(pg_current_snapshot()) AS next,
    pg_current_snapshot()::text AS snapshot
