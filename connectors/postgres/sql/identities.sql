-- Of the table and every partition that holds rows of it: the columns that the log tells of a row before a change.
-- The server itself takes an index for it only if it is unique, valid and never deferred.
SELECT
    n.nspname AS schema, c.relname AS name, c.relreplident AS identity,
    coalesce((SELECT json_agg(a.attname)
              FROM pg_attribute a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                AND (c.relreplident = 'f' OR a.attnum = ANY (i.indkey::int[]))), '[]') AS columns
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
    AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END
WHERE c.oid = %(oid)s OR c.oid IN (SELECT relid FROM pg_partition_tree(%(oid)s::oid::regclass) WHERE isleaf)
ORDER BY c.oid <> %(oid)s, n.nspname, c.relname
