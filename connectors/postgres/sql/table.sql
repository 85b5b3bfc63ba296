SELECT
    c.oid, c.relkind, c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits WHERE inhparent = c.oid) AS is_inherited,
    c.reltuples::bigint AS rows,
    has_table_privilege(c.oid, 'SELECT') AS readable,
    has_schema_privilege(n.oid, 'USAGE') AS reachable
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(name)s
